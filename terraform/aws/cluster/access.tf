locals {
  access = merge(
    { for name, arn in var.administrators : "administrator/${name}" => { principal_arn = arn, policy = "AmazonEKSClusterAdminPolicy", namespaces = toset([]) } },
    { for name, one in var.access : "access/${name}" => one },
  )
}

resource "aws_eks_access_entry" "this" {
  for_each = local.access

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.principal_arn
  type          = "STANDARD"
  tags          = local.tags
}

resource "aws_eks_access_policy_association" "this" {
  for_each = local.access

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:${local.partition}:eks::aws:cluster-access-policy/${each.value.policy}"

  access_scope {
    type       = length(each.value.namespaces) > 0 ? "namespace" : "cluster"
    namespaces = length(each.value.namespaces) > 0 ? each.value.namespaces : null
  }
}

check "somebody_can_enter" {
  assert {
    condition     = length(var.administrators) > 0
    error_message = "The cluster has no administrator: nobody can use it before `administrators` names a role."
  }
}
