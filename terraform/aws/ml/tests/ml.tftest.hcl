provider "aws" {
  region = "eu-central-1"
}

variables {
  name            = "acme-dev"
  tags            = { project = "acme", environment = "dev", team = "ml", cost-centre = "4711" }
  vpc_id          = "vpc-1"
  subnet_ids      = ["subnet-1", "subnet-2"]
  kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
  repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/acme-dev/serving"]
  model_groups    = ["fraud"]
  buckets         = { models = "arn:aws:s3:::acme-models", data = "arn:aws:s3:::acme-data" }
  cluster         = { name = "acme-dev" }
}

run "sagemaker_may_do_little" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role.sagemaker.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "SageMaker takes the role for this account only."
  }

  assert {
    condition = alltrue(flatten([
      for name in ["data", "images", "logs"] : [
        for one in jsondecode(aws_iam_role_policy.sagemaker[name].policy).Statement : [for action in flatten([one.Action]) : !endswith(action, "*")]
      ]
    ]))
    error_message = "No right is given by an asterisk."
  }

  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.sagemaker["data"].policy).Statement : one.Resource if contains(flatten([one.Action]), "s3:PutObject")] == [["arn:aws:s3:::acme-models/*", "arn:aws:s3:::acme-data/captured/*"]]
    error_message = "SageMaker writes models and what its endpoints were asked."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.sagemaker["images"].policy).Statement[1].Resource == ["arn:aws:ecr:eu-central-1:123456789012:repository/acme-dev/serving"]
    error_message = "Images come from our repositories."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.https.from_port == 443 && aws_vpc_security_group_ingress_rule.members.cidr_ipv4 == null
    error_message = "Nothing from outside comes in; HTTPS goes out."
  }

  assert {
    condition     = aws_sagemaker_model_package_group.this["fraud"].model_package_group_name == "acme-dev-fraud" && aws_sagemaker_model_package_group.this["fraud"].tags["managed-by"] == "mcml"
    error_message = "The model registry has a group for each model."
  }
}

run "a_workload_is_one_service_account" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.workload["serving"].assume_role_policy).Statement[0].Condition.StringEquals == {
      "aws:SourceAccount"                         = "123456789012"
      "aws:SourceArn"                             = "arn:aws:eks:eu-central-1:123456789012:cluster/acme-dev"
      "aws:RequestTag/kubernetes-namespace"       = "models"
      "aws:RequestTag/kubernetes-service-account" = "serving"
    }
    error_message = "The role is for one service account of one cluster."
  }

  assert {
    condition     = [for one in jsondecode(aws_iam_role_policy.workload["serving"].policy).Statement : one.Resource] == [["arn:aws:s3:::acme-models"], ["arn:aws:kms:eu-central-1:123456789012:key/1"], ["arn:aws:s3:::acme-models/*"]]
    error_message = "Serving reads models and nothing else."
  }

  assert {
    condition     = contains(flatten([for one in jsondecode(aws_iam_role_policy.workload["training"].policy).Statement : one.Action]), "s3:PutObject") && aws_eks_pod_identity_association.workload["training"].service_account == "training"
    error_message = "Training writes models, by pod identity."
  }
}

run "irsa" {
  command = plan

  variables {
    cluster   = { name = "acme-dev", oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.example.org/id/1", oidc_issuer = "oidc.example.org/id/1" }
    workloads = { batch = { namespace = "jobs", service_account = "batch", identity = "irsa" } }
  }

  assert {
    condition     = jsondecode(aws_iam_role.workload["batch"].assume_role_policy).Statement[0].Condition.StringEquals == { "oidc.example.org/id/1:aud" = "sts.amazonaws.com", "oidc.example.org/id/1:sub" = "system:serviceaccount:jobs:batch" }
    error_message = "The role is for one service account of the cluster's issuer."
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.workload) + length(aws_iam_role_policy.workload) == 0
    error_message = "No pod identity, and no bucket."
  }
}

run "without_a_cluster" {
  command = plan

  variables {
    cluster         = null
    repository_arns = []
  }

  assert {
    condition     = output.workload_role_arns == {} && length(jsondecode(aws_iam_role_policy.sagemaker["images"].policy).Statement) == 1
    error_message = "No workloads, and no images."
  }
}

run "what_is_wrong_is_refused" {
  command = plan

  variables {
    name            = "9lives"
    tags            = { project = "acme" }
    subnet_ids      = []
    kms_key_arn     = "alias/data"
    repository_arns = ["serving"]
    model_groups    = ["-fraud"]
    buckets         = { models = "acme-models", data = "acme-data" }
    workloads = {
      one = { namespace = "*", service_account = "x", reads = ["secrets"], identity = "key" }
      two = { namespace = "a", service_account = "x", identity = "irsa" }
    }
  }

  expect_failures = [
    var.name, var.tags, var.subnet_ids, var.kms_key_arn, var.repository_arns, var.model_groups, var.buckets, var.workloads,
  ]
}
