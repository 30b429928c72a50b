terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "region" {
  type    = string
  default = "us-east-1"
}

provider "aws" {
  region = var.region
}

locals {
  tags = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }
}

resource "aws_s3_bucket" "models" {
  for_each = toset(["models", "data"])

  bucket_prefix = "acme-${each.key}-"
  tags          = local.tags
}

resource "aws_s3_bucket_public_access_block" "models" {
  for_each = aws_s3_bucket.models

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

module "database" {
  source = "./database"

  tags      = local.tags
  protected = true
}

resource "aws_elasticache_replication_group" "cache" {
  replication_group_id       = "acme"
  description                = "cache"
  node_type                  = "cache.m7g.large"
  num_cache_clusters         = 2
  at_rest_encryption_enabled = true
  tags                       = local.tags
}

resource "aws_ebs_volume" "scratch" {
  availability_zone = "us-east-1a"
  size              = 100
  type              = "gp3"
  encrypted         = true
  tags              = local.tags
}

resource "aws_launch_template" "node" {
  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted = true
    }
  }

  tags = local.tags
}

resource "aws_eks_node_group" "pool" {
  for_each = { general = { type = "m6i.large", size = 3, spot = false }, gpu = { type = "g5.xlarge", size = 2, spot = true } }

  cluster_name    = "acme"
  node_group_name = each.key
  node_role_arn   = "arn:aws:iam::123456789012:role/node"
  subnet_ids      = ["subnet-1"]
  instance_types  = [each.value.type]
  capacity_type   = each.value.spot ? "SPOT" : "ON_DEMAND"
  tags            = local.tags

  scaling_config {
    min_size     = 0
    max_size     = 5
    desired_size = each.value.size
  }
}

resource "aws_nat_gateway" "out" {
  subnet_id         = "subnet-1"
  connectivity_type = "public"
  tags              = local.tags
}
