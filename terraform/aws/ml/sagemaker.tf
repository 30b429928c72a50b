data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  tags      = merge(var.tags, { managed-by = "mcml" })
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  here      = "${local.region}:${local.account}"
}

# What SageMaker's endpoints and jobs may do: `sagemaker_role` of `[providers.aws]` names this role.
resource "aws_iam_role" "sagemaker" {
  name = "${var.name}-sagemaker"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "sagemaker.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "sagemaker" {
  for_each = {
    data    = local.sagemaker_data
    images  = local.sagemaker_images
    logs    = local.sagemaker_logs
    network = local.sagemaker_network
  }

  name   = each.key
  role   = aws_iam_role.sagemaker.id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

locals {
  # Training reads data and writes models; an endpoint reads models, and writes what it was asked to data/captured/.
  sagemaker_data = [
    {
      Effect   = "Allow"
      Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
      Resource = [var.buckets.models, var.buckets.data]
    },
    {
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = ["${var.buckets.models}/*", "${var.buckets.data}/*"]
    },
    {
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
      Resource = ["${var.buckets.models}/*", "${var.buckets.data}/captured/*"]
    },
    {
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
      Resource = [var.kms_key_arn]
    },
    {
      # The volumes of endpoints and jobs.
      Effect    = "Allow"
      Action    = "kms:CreateGrant"
      Resource  = [var.kms_key_arn]
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    },
  ]

  sagemaker_images = concat(
    [{ Effect = "Allow", Action = ["ecr:GetAuthorizationToken"], Resource = ["*"] }],
    length(var.repository_arns) == 0 ? [] : [{
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
      Resource = sort(var.repository_arns)
    }],
  )

  sagemaker_logs = [
    {
      Effect   = "Allow"
      Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
      Resource = "arn:${local.partition}:logs:${local.here}:log-group:/aws/sagemaker/*"
    },
    {
      Effect    = "Allow"
      Action    = "cloudwatch:PutMetricData"
      Resource  = "*"
      Condition = { StringLike = { "cloudwatch:namespace" = ["AWS/SageMaker", "/aws/sagemaker/*"] } }
    },
  ]

  sagemaker_network = [
    {
      Effect = "Allow"
      Action = ["ec2:CreateNetworkInterface"]
      Resource = concat(
        [for subnet in var.subnet_ids : "arn:${local.partition}:ec2:${local.here}:subnet/${subnet}"],
        ["arn:${local.partition}:ec2:${local.here}:security-group/${aws_security_group.sagemaker.id}", "arn:${local.partition}:ec2:${local.here}:network-interface/*"],
      )
    },
    {
      Effect   = "Allow"
      Action   = ["ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"]
      Resource = ["arn:${local.partition}:ec2:${local.here}:network-interface/*"]
    },
    {
      # AWS cannot narrow these down.
      Effect   = "Allow"
      Action   = ["ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
      Resource = ["*"]
    },
  ]
}

resource "aws_security_group" "sagemaker" {
  # checkov:skip=CKV2_AWS_5: SageMaker attaches it to the endpoints and jobs that mcml starts; none is made here
  name_prefix = "${var.name}-sagemaker-"
  description = "SageMaker's endpoints and jobs"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-sagemaker" })

  lifecycle {
    create_before_destroy = true
  }
}

# The members of one distributed training.
resource "aws_vpc_security_group_ingress_rule" "members" {
  security_group_id            = aws_security_group.sagemaker.id
  referenced_security_group_id = aws_security_group.sagemaker.id
  description                  = "Members of one training"
  ip_protocol                  = "-1"
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "members" {
  security_group_id            = aws_security_group.sagemaker.id
  referenced_security_group_id = aws_security_group.sagemaker.id
  description                  = "Members of one training"
  ip_protocol                  = "-1"
  tags                         = local.tags
}

# S3 is behind public addresses, also for a gateway endpoint.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.sagemaker.id
  description       = "AWS services"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_sagemaker_model_package_group" "this" {
  for_each = var.model_groups

  model_package_group_name        = "${var.name}-${each.key}"
  model_package_group_description = "Versions of ${each.key}"
  tags                            = local.tags
}
