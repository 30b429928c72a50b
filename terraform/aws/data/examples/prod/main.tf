terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

module "data" {
  source = "../.."

  name                      = "acme-prod"
  profile                   = "prod"
  vpc_id                    = "vpc-0a1b2c3d4e5f60001"
  database_subnet_ids       = ["subnet-0a1b2c3d4e5f60007", "subnet-0a1b2c3d4e5f60008", "subnet-0a1b2c3d4e5f60009"]
  client_security_group_ids = { cluster = "sg-0a1b2c3d4e5f60001" }
  alarm_topic_arn           = "arn:aws:sns:eu-central-1:123456789012:acme-prod-alarms"
  tags                      = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }
}

output "data" {
  description = "What the other layers are wired to."
  value       = module.data
}
