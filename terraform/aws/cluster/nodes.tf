locals {
  groups = {
    general = {
      given  = var.general
      spot   = var.general.spot
      min    = coalesce(var.general.min, min(local.prod ? 3 : 1, coalesce(var.general.max, 3)))
      max    = coalesce(var.general.max, max(local.prod ? 6 : 3, coalesce(var.general.min, 1)))
      ami    = "AL2023_x86_64_STANDARD"
      labels = {}
      taints = {}
    }
    ml = {
      given  = var.ml
      spot   = coalesce(var.ml.spot, !local.prod)
      min    = coalesce(var.ml.min, min(local.prod ? 2 : 0, coalesce(var.ml.max, 2)))
      max    = coalesce(var.ml.max, max(local.prod ? 10 : 4, coalesce(var.ml.min, 0)))
      ami    = "AL2023_x86_64_STANDARD"
      labels = {}
      taints = {}
    }
    gpu = {
      given  = var.gpu
      spot   = coalesce(var.gpu.spot, !local.prod)
      min    = var.gpu.min
      max    = coalesce(var.gpu.max, max(local.prod ? 8 : 2, var.gpu.min))
      ami    = "AL2023_x86_64_NVIDIA"
      labels = { "nvidia.com/gpu.present" = "true" }
      taints = { "nvidia.com/gpu" = "present" }
    }
  }
}

resource "aws_iam_role" "node" {
  name = "${var.name}-node"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

# Pulling images and joining the cluster; what pods may do they have from roles of their own.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(concat(
    ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"],
    var.manage_addons ? [] : ["AmazonEKS_CNI_Policy"],
  ))

  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}

resource "aws_launch_template" "node" {
  for_each = local.groups

  name                   = "${var.name}-${each.key}"
  description            = "Nodes of the ${each.key} group"
  update_default_version = true
  tags                   = local.tags

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.given.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # One hop: a pod does not reach the node's credentials.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = local.prod
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(local.tags, { Name = "${var.name}-${each.key}" })
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each = local.groups

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version
  ami_type        = each.value.ami
  capacity_type   = each.value.spot ? "SPOT" : "ON_DEMAND"
  instance_types  = each.value.given.instance_types
  labels          = merge({ "mcml/pool" = each.key }, each.value.labels)
  tags            = local.tags

  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = each.value.min
  }

  launch_template {
    id      = aws_launch_template.node[each.key].id
    version = aws_launch_template.node[each.key].latest_version
  }

  dynamic "taint" {
    for_each = each.value.taints

    content {
      key    = taint.key
      value  = taint.value
      effect = "NO_SCHEDULE"
    }
  }

  update_config {
    max_unavailable_percentage = 33
  }

  node_repair_config {
    enabled = true
  }

  # The autoscaler decides how many there are.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes]
}
