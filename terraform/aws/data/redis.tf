locals {
  redis       = var.redis == null ? {} : { redis = var.redis }
  redis_id    = "${var.name}-redis"
  redis_nodes = try(coalesce(var.redis.nodes, local.prod ? 2 : 1), 0)
}

resource "aws_elasticache_subnet_group" "redis" {
  for_each = local.redis

  name       = local.redis_id
  subnet_ids = var.database_subnet_ids
  tags       = local.tags
}

resource "aws_security_group" "redis" {
  for_each = local.redis

  name_prefix = "${local.redis_id}-"
  description = "Redis, asked by the clients of this environment"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = local.redis_id })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "redis" {
  for_each = var.redis == null ? {} : var.client_security_group_ids

  security_group_id            = aws_security_group.redis["redis"].id
  referenced_security_group_id = each.value
  description                  = "Redis from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  tags                         = local.tags
}

# Every group has a user `default`, which ElastiCache makes almighty: this one is switched off and may do nothing.
resource "aws_elasticache_user" "default" {
  for_each = local.redis

  user_id       = "${local.redis_id}-default"
  user_name     = "default"
  engine        = "redis"
  access_string = "off ~* -@all"
  tags          = local.tags

  authentication_mode {
    type = "no-password-required"
  }
}

# Applications log in with a token that IAM signs for 15 minutes: there is no password. For IAM, the id is the name.
resource "aws_elasticache_user" "app" {
  for_each = local.redis

  user_id       = "${local.redis_id}-app"
  user_name     = "${local.redis_id}-app"
  engine        = "redis"
  access_string = "on ~* &* +@all -@dangerous +info"
  tags          = local.tags

  authentication_mode {
    type = "iam"
  }
}

resource "aws_elasticache_user_group" "redis" {
  for_each = local.redis

  user_group_id = local.redis_id
  engine        = "redis"
  user_ids      = [aws_elasticache_user.default[each.key].user_id, aws_elasticache_user.app[each.key].user_id]
  tags          = local.tags
}

resource "aws_cloudwatch_log_group" "redis" {
  for_each = local.redis

  name              = "/mcml/${var.name}/redis"
  retention_in_days = local.retention_days
  kms_key_id        = aws_kms_key.data.arn
  tags              = local.tags
}

resource "aws_elasticache_replication_group" "redis" {
  # checkov:skip=CKV2_AWS_50: on as soon as there are two nodes, as in prod; the one node of dev has nobody to fail over to
  for_each = local.redis

  replication_group_id = local.redis_id
  description          = "${var.name}: features and sessions"
  engine               = "redis"
  engine_version       = each.value.version
  parameter_group_name = "default.redis7"
  node_type            = coalesce(each.value.node_type, local.prod ? "cache.m7g.large" : "cache.t4g.small")
  port                 = 6379

  num_cache_clusters         = local.redis_nodes
  automatic_failover_enabled = local.redis_nodes > 1
  multi_az_enabled           = local.redis_nodes > 1

  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.data.arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.redis[each.key].user_group_id]

  subnet_group_name  = aws_elasticache_subnet_group.redis[each.key].name
  security_group_ids = [aws_security_group.redis[each.key].id]

  snapshot_retention_limit   = coalesce(each.value.snapshot_days, local.prod ? 7 : 1)
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  final_snapshot_identifier  = local.last_copies ? "${local.redis_id}-last" : null
  auto_minor_version_upgrade = true
  apply_immediately          = !local.prod

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.redis[each.key].name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }

  tags = local.tags
}

locals {
  redis_watched = {
    cpu       = { metric = "EngineCPUUtilization", threshold = 85, says = "Redis uses more than 85 % of its CPU." }
    memory    = { metric = "DatabaseMemoryUsagePercentage", threshold = 85, says = "Redis uses more than 85 % of its memory." }
    evictions = { metric = "Evictions", threshold = 0, says = "Redis removes keys because its memory is full." }
  }
  redis_alarms = merge([
    for number in range(1, local.redis_nodes + 1) : {
      for what, watched in local.redis_watched : format("%03d-%s", number, what) => merge(watched, { node = format("%03d", number) })
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "redis" {
  for_each = local.redis_alarms

  alarm_name          = "${local.redis_id}-${each.key}"
  alarm_description   = each.value.says
  namespace           = "AWS/ElastiCache"
  metric_name         = each.value.metric
  dimensions          = { CacheClusterId = "${aws_elasticache_replication_group.redis["redis"].replication_group_id}-${each.value.node}" }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}
