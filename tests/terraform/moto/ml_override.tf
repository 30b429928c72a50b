# moto forgets the description of a rule that names a security group.
resource "aws_vpc_security_group_ingress_rule" "members" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_egress_rule" "members" {
  lifecycle {
    ignore_changes = [description]
  }
}

# moto makes a group of models and cannot delete it.
resource "aws_sagemaker_model_package_group" "this" {
  for_each = {}
}
