# What moto forgets (of a cluster and a node group) or makes up (a key for SSH).
resource "aws_eks_cluster" "this" {
  lifecycle {
    ignore_changes = [access_config, upgrade_policy, vpc_config]
  }
}

resource "aws_eks_node_group" "this" {
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size, update_config, node_repair_config, remote_access]
  }
}

# The template's own tags come back among those of what it makes.
resource "aws_launch_template" "node" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}
