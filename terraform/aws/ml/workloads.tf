locals {
  workloads = var.cluster == null ? {} : var.workloads
  bucket    = { models = var.buckets.models, data = var.buckets.data }

  trust = {
    for name, one in local.workloads : name => one.identity == "irsa" ? {
      principal = { Federated = var.cluster.oidc_provider_arn }
      actions   = ["sts:AssumeRoleWithWebIdentity"]
      condition = {
        StringEquals = {
          "${var.cluster.oidc_issuer}:aud" = "sts.amazonaws.com"
          "${var.cluster.oidc_issuer}:sub" = "system:serviceaccount:${one.namespace}:${one.service_account}"
        }
      }
      } : {
      principal = { Service = "pods.eks.amazonaws.com" }
      actions   = ["sts:AssumeRole", "sts:TagSession"]
      condition = {
        StringEquals = {
          "aws:SourceAccount"                         = local.account
          "aws:SourceArn"                             = "arn:${local.partition}:eks:${local.here}:cluster/${var.cluster.name}"
          "aws:RequestTag/kubernetes-namespace"       = one.namespace
          "aws:RequestTag/kubernetes-service-account" = one.service_account
        }
      }
    }
  }
}

resource "aws_iam_role" "workload" {
  for_each = local.workloads

  name = "${var.name}-pod-${each.key}"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = local.trust[each.key].principal
      Action    = local.trust[each.key].actions
      Condition = local.trust[each.key].condition
    }]
  })
}

resource "aws_iam_role_policy" "workload" {
  for_each = { for name, one in local.workloads : name => one if length(setunion(one.reads, one.writes)) > 0 }

  name = "buckets"
  role = aws_iam_role.workload[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = [for kind in sort(setunion(each.value.reads, each.value.writes)) : local.bucket[kind]]
        },
        {
          Effect   = "Allow"
          Action   = length(each.value.writes) > 0 ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
          Resource = [var.kms_key_arn]
        },
      ],
      length(each.value.reads) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = [for kind in sort(each.value.reads) : "${local.bucket[kind]}/*"]
      }],
      length(each.value.writes) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
        Resource = [for kind in sort(each.value.writes) : "${local.bucket[kind]}/*"]
      }],
    )
  })
}

resource "aws_eks_pod_identity_association" "workload" {
  for_each = { for name, one in local.workloads : name => one if one.identity == "pod-identity" }

  cluster_name    = var.cluster.name
  namespace       = each.value.namespace
  service_account = each.value.service_account
  role_arn        = aws_iam_role.workload[each.key].arn
  tags            = local.tags
}
