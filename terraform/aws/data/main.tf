data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  prod      = var.profile == "prod"
  tags      = merge(var.tags, { managed-by = "mcml" })
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  protected      = coalesce(var.deletion_protection, local.prod)
  last_copies    = coalesce(var.last_copies, local.protected)
  retention_days = coalesce(var.log_retention_days, local.prod ? 365 : 30)
  alarm_actions  = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}

# One key for all data of the environment: whoever may not use it reads nothing.
resource "aws_kms_key" "data" {
  description             = "${var.name}: databases, buckets, images"
  enable_key_rotation     = true
  deletion_window_in_days = local.prod ? 30 : 7
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              for group in ["/aws/rds/instance/${var.name}-postgres/*", "/mcml/${var.name}/redis"] :
              "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${group}"
            ]
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}-data"
  target_key_id = aws_kms_key.data.key_id
}
