provider "aws" {
  region = "eu-central-1"
}

variables {
  name           = "acme-dev"
  tags           = { project = "acme", environment = "dev", team = "ml", cost-centre = "4711" }
  subnet_ids     = ["subnet-1", "subnet-2", "subnet-3"]
  administrators = { platform = "arn:aws:iam::123456789012:role/platform" }
}

run "dev_is_small_and_closed" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The Kubernetes API is reached from inside the VPC only."
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_kms_key.cluster.enable_key_rotation
    error_message = "Secrets are encrypted with a key of our own."
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Access entries alone say who may do what."
  }

  assert {
    condition     = { for name, group in output.node_groups : name => [group.capacity_type, group.min, group.max] } == { general = ["ON_DEMAND", 1, 3], gpu = ["SPOT", 0, 2], ml = ["SPOT", 0, 4] }
    error_message = "In dev the groups are small, and models run on spot capacity."
  }

  assert {
    condition     = [for taint in aws_eks_node_group.this["gpu"].taint : [taint.key, taint.value, taint.effect]] == [["nvidia.com/gpu", "present", "NO_SCHEDULE"]]
    error_message = "Nothing but what asks for GPUs runs on nodes that have them."
  }

  assert {
    condition     = length(aws_eks_node_group.this["general"].taint) + length(aws_eks_node_group.this["ml"].taint) == 0 && aws_eks_node_group.this["gpu"].ami_type == "AL2023_x86_64_NVIDIA"
    error_message = "The other groups are open, and the GPU group has the drivers."
  }

  assert {
    condition     = alltrue([for group in aws_eks_node_group.this : group.scaling_config[0].desired_size == group.scaling_config[0].min_size])
    error_message = "Groups begin with their least number of nodes."
  }

  assert {
    condition     = aws_cloudwatch_log_group.cluster.retention_in_days == 30 && aws_eks_cluster.this.enabled_cluster_log_types == toset(["api", "audit", "authenticator"])
    error_message = "Audit logs are kept for 30 days."
  }
}

run "nodes_keep_their_credentials" {
  command = plan

  assert {
    condition     = alltrue([for one in aws_launch_template.node : one.metadata_options[0].http_tokens == "required" && one.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "The metadata service asks for a token, and pods do not reach it."
  }

  assert {
    condition     = alltrue([for one in aws_launch_template.node : tobool(one.block_device_mappings[0].ebs[0].encrypted)])
    error_message = "Disks are encrypted."
  }

  assert {
    condition     = keys(aws_iam_role_policy_attachment.node) == ["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy"]
    error_message = "Nodes pull images and join the cluster; the network's rights belong to its own role."
  }

  assert {
    condition     = [for one in aws_eks_addon.before_nodes["vpc-cni"].pod_identity_association : one.service_account] == ["aws-node"] && [for one in aws_eks_addon.after_nodes["aws-ebs-csi-driver"].pod_identity_association : one.service_account] == ["ebs-csi-controller-sa"]
    error_message = "The network and the disks have roles of their own, by pod identity."
  }

  assert {
    condition     = alltrue([for one in aws_launch_template.node : alltrue([for told in one.tag_specifications : told.tags["team"] == "ml"])])
    error_message = "What a node is billed as carries our tags."
  }
}

run "prod" {
  command = plan

  variables {
    name                = "acme-prod"
    profile             = "prod"
    public_access_cidrs = ["198.51.100.0/24"]
    access              = { scientists = { principal_arn = "arn:aws:iam::123456789012:role/scientists", namespaces = ["models"] } }
    ml                  = { spot = true, max = 20 }
    alarm_topic_arn     = "arn:aws:sns:eu-central-1:123456789012:acme-prod-alarms"
  }

  assert {
    condition     = { for name, group in output.node_groups : name => [group.capacity_type, group.min, group.max] } == { general = ["ON_DEMAND", 3, 6], gpu = ["ON_DEMAND", 0, 8], ml = ["SPOT", 2, 20] }
    error_message = "In prod the groups are larger; spot is used where it was chosen."
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["198.51.100.0/24"])
    error_message = "The API is opened to the addresses that were named, and to no others."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.cluster.retention_in_days == 365
    error_message = "All logs of the control plane are kept for a year."
  }

  assert {
    condition     = endswith(aws_eks_access_policy_association.this["administrator/platform"].policy_arn, "/AmazonEKSClusterAdminPolicy") && endswith(aws_eks_access_policy_association.this["access/scientists"].policy_arn, "/AmazonEKSViewPolicy")
    error_message = "Administrators may do everything; others may look."
  }

  assert {
    condition     = aws_eks_access_policy_association.this["access/scientists"].access_scope[0].type == "namespace" && aws_eks_access_policy_association.this["access/scientists"].access_scope[0].namespaces == toset(["models"])
    error_message = "Others are kept to their namespaces."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.api_errors.alarm_actions == toset(["arn:aws:sns:eu-central-1:123456789012:acme-prod-alarms"])
    error_message = "Alarms go to the topic."
  }
}

run "least_and_most_agree" {
  command = plan

  variables {
    profile        = "prod"
    manage_addons  = false
    administrators = {}
    general        = { max = 2 }
    gpu            = { min = 12 }
  }

  expect_failures = [check.somebody_can_enter]

  assert {
    condition     = [output.node_groups.general.min, output.node_groups.general.max, output.node_groups.gpu.min, output.node_groups.gpu.max] == [2, 2, 12, 12]
    error_message = "A default gives way to the limit that was set."
  }

  assert {
    condition     = contains(keys(aws_iam_role_policy_attachment.node), "AmazonEKS_CNI_Policy") && length(aws_eks_addon.before_nodes) == 0 && aws_eks_cluster.this.bootstrap_self_managed_addons
    error_message = "Without EKS's add-ons the cluster brings its own, and its network has the rights of the nodes."
  }
}

run "what_is_wrong_is_refused" {
  command = plan

  variables {
    name                = "acme-"
    profile             = "test"
    tags                = {}
    subnet_ids          = ["subnet-1"]
    kubernetes_version  = "latest"
    public_access_cidrs = ["0.0.0.0/0"]
    administrators      = { me = "me" }
    access              = { me = { principal_arn = "arn:aws:iam::123456789012:role/me", policy = "AmazonEKSClusterAdminPolicy" } }
    general             = { min = 0 }
    ml                  = { min = 3, max = 1 }
    gpu                 = { instance_types = [] }
    log_retention_days  = 1000
  }

  expect_failures = [
    var.name, var.profile, var.tags, var.subnet_ids, var.kubernetes_version, var.public_access_cidrs, var.administrators, var.access,
    var.general, var.ml, var.gpu, var.log_retention_days,
  ]
}
