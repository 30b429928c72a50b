# A node is ready when its pods have addresses, and a pod has its role from the agent: these come before any node.
resource "aws_eks_addon" "before_nodes" {
  for_each = var.manage_addons ? toset(["vpc-cni", "kube-proxy", "eks-pod-identity-agent"]) : toset([])

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
  tags                        = local.tags

  dynamic "pod_identity_association" {
    for_each = each.key == "vpc-cni" ? ["aws-node"] : []

    content {
      service_account = pod_identity_association.value
      role_arn        = aws_iam_role.system["vpc-cni"].arn
    }
  }
}

# These run on nodes.
resource "aws_eks_addon" "after_nodes" {
  for_each = var.manage_addons ? toset(["coredns", "aws-ebs-csi-driver", "metrics-server"]) : toset([])

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
  tags                        = local.tags

  dynamic "pod_identity_association" {
    for_each = each.key == "aws-ebs-csi-driver" ? ["ebs-csi-controller-sa"] : []

    content {
      service_account = pod_identity_association.value
      role_arn        = aws_iam_role.system["ebs-csi"].arn
    }
  }

  depends_on = [aws_eks_node_group.this]
}

# What runs in kube-system and asks AWS for something: one role each, by pod identity.
resource "aws_iam_role" "system" {
  for_each = var.manage_addons ? toset(["vpc-cni", "ebs-csi", "autoscaler"]) : toset([])

  name = "${var.name}-${each.key}"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnEquals    = { "aws:SourceArn" = aws_eks_cluster.this.arn }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "system" {
  for_each = var.manage_addons ? { vpc-cni = "AmazonEKS_CNI_Policy", ebs-csi = "service-role/AmazonEBSCSIDriverPolicy" } : {}

  role       = aws_iam_role.system[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

# Cluster Autoscaler: it sees all groups (AWS cannot narrow that down) and changes those of this cluster.
resource "aws_iam_role_policy" "autoscaler" {
  count = var.manage_addons ? 1 : 0

  name = "scale"
  role = aws_iam_role.system["autoscaler"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLaunchConfigurations",
          "autoscaling:DescribeScalingActivities", "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
          "ec2:GetInstanceTypesFromInstanceRequirements",
        ]
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = "eks:DescribeNodegroup"
        Resource = "arn:${local.partition}:eks:${local.region}:${local.account}:nodegroup/${var.name}/*"
      },
      {
        Effect    = "Allow"
        Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/eks:cluster-name" = var.name } }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "autoscaler" {
  count = var.manage_addons ? 1 : 0

  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "cluster-autoscaler"
  role_arn        = aws_iam_role.system["autoscaler"].arn
  tags            = local.tags
}
