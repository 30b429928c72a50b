provider "aws" {
  region = "eu-central-1"
}

variables {
  name = "acme-dev"
  tags = { project = "acme", environment = "dev", team = "ml", cost-centre = "4711" }
}

run "dev_is_small" {
  command = plan

  assert {
    condition     = output.zones == tolist(["eu-central-1a", "eu-central-1b", "eu-central-1c"])
    error_message = "The first three zones of the region are taken."
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && alltrue([for zone in output.zones : contains(keys(aws_route.nat), zone)])
    error_message = "One NAT gateway serves all three zones."
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && keys(aws_vpc_endpoint.gateway) == ["dynamodb", "s3"]
    error_message = "In dev, the endpoints that cost nothing are all there is."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow.retention_in_days == 30 && aws_kms_key.logs.deletion_window_in_days == 7
    error_message = "Logs are kept for 30 days, and the key for a week."
  }
}

run "addresses" {
  command = plan

  assert {
    condition     = [for zone in output.zones : aws_subnet.private[zone].cidr_block] == ["10.10.0.0/18", "10.10.64.0/18", "10.10.128.0/18"]
    error_message = "Each zone has a quarter of the addresses for its private subnet."
  }

  assert {
    condition     = [for zone in output.zones : aws_subnet.public[zone].cidr_block] == ["10.10.192.0/24", "10.10.193.0/24", "10.10.194.0/24"]
    error_message = "The public subnets are the first of the last quarter."
  }

  assert {
    condition     = [for zone in output.zones : aws_subnet.database[zone].cidr_block] == ["10.10.200.0/24", "10.10.201.0/24", "10.10.202.0/24"]
    error_message = "The database subnets come after them."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "Nothing gets a public address by standing in a public subnet."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.tags["kubernetes.io/role/internal-elb"] == "1" && subnet.tags["managed-by"] == "mcml" && subnet.tags["cost-centre"] == "4711"])
    error_message = "Subnets carry our tags and the one that load balancers look for."
  }
}

run "prod_survives_a_zone" {
  command = plan

  variables {
    name            = "acme-prod"
    profile         = "prod"
    zones           = ["eu-central-1b", "eu-central-1c", "eu-central-1d"]
    alarm_endpoints = { mcml = "https://alarms.example.org/sns" }
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1b", "eu-central-1c", "eu-central-1d"]
    error_message = "Each zone has a NAT gateway of its own."
  }

  assert {
    condition     = length(setsubtract(["ecr.api", "ecr.dkr", "sts", "logs", "kms", "sagemaker.runtime", "eks-auth"], keys(aws_vpc_endpoint.interface))) == 0
    error_message = "What nodes and models ask AWS for stays in the VPC."
  }

  assert {
    condition     = alltrue([for one in aws_vpc_endpoint.interface : one.private_dns_enabled]) && aws_vpc_endpoint.interface["sts"].service_name == "com.amazonaws.eu-central-1.sts"
    error_message = "The endpoints answer by the services' own names."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_flow_log.this.max_aggregation_interval == 60 && aws_cloudwatch_log_group.flow.retention_in_days == 365
    error_message = "All traffic is logged, by the minute, for a year."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.10.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints.from_port == 443
    error_message = "The endpoints are open to the VPC only."
  }

  assert {
    condition     = aws_kms_key.logs.enable_key_rotation && aws_kms_key.logs.deletion_window_in_days == 30
    error_message = "The key is changed every year, and can be had back for 30 days."
  }

  assert {
    condition     = aws_sns_topic_subscription.https["mcml"].protocol == "https" && length(aws_cloudwatch_metric_alarm.nat_ports) == 3
    error_message = "Every NAT gateway is watched, and alarms go out by HTTPS."
  }
}

run "who_may_send_alarms" {
  command = plan

  override_resource {
    target          = aws_sns_topic.alarms
    override_during = plan
    values          = { arn = "arn:aws:sns:eu-central-1:123456789012:acme-dev-alarms" }
  }

  assert {
    condition = [for one in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : one if one.Effect == "Allow"] == [{
      Sid       = "AlarmsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:eu-central-1:123456789012:acme-dev-alarms"
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
    error_message = "Alarms, budgets and unusual costs of this account are told to the topic, and nothing else is."
  }

  assert {
    condition = one([for one in jsondecode(aws_kms_key.logs.policy).Statement : one if one.Sid == "Alarms"]) == {
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"] }
      Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }
    error_message = "Who may send may use the topic's key, for this account only: otherwise nothing comes, and nothing says so."
  }
}

run "no_way_out" {
  command = plan

  variables {
    nat                 = "none"
    interface_endpoints = ["sts"]
    log_retention_days  = 7
  }

  assert {
    condition     = length(aws_nat_gateway.this) + length(aws_eip.nat) + length(aws_route.nat) == 0 && keys(aws_vpc_endpoint.interface) == ["sts"]
    error_message = "Without NAT there is no route out, and the endpoints are those that were asked for."
  }
}

run "what_is_wrong_is_refused" {
  command = plan

  variables {
    name                = "Acme_dev"
    profile             = "staging"
    tags                = { project = "acme" }
    cidr                = "10.10.0.0/24"
    zones               = ["eu-central-1a"]
    nat                 = "two"
    interface_endpoints = ["com amazonaws"]
    log_retention_days  = 31
    alarm_endpoints     = { mcml = "http://alarms.example.org" }
  }

  expect_failures = [
    var.name, var.profile, var.tags, var.cidr, var.zones, var.nat, var.interface_endpoints, var.log_retention_days, var.alarm_endpoints,
  ]
}
