locals {
  # One instance or none; for_each and not count, so that its address in the state says what it is.
  postgres    = var.postgres == null ? {} : { postgres = var.postgres }
  postgres_id = "${var.name}-postgres"
}

resource "aws_db_subnet_group" "postgres" {
  for_each = local.postgres

  name       = local.postgres_id
  subnet_ids = var.database_subnet_ids
  tags       = local.tags
}

resource "aws_security_group" "postgres" {
  for_each = local.postgres

  name_prefix = "${local.postgres_id}-"
  description = "PostgreSQL, asked by the clients of this environment"
  vpc_id      = var.vpc_id
  tags        = merge(local.tags, { Name = local.postgres_id })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "postgres" {
  for_each = var.postgres == null ? {} : var.client_security_group_ids

  security_group_id            = aws_security_group.postgres["postgres"].id
  referenced_security_group_id = each.value
  description                  = "PostgreSQL from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  tags                         = local.tags
}

resource "aws_db_parameter_group" "postgres" {
  for_each = local.postgres

  name_prefix = "${local.postgres_id}-"
  family      = "postgres${split(".", each.value.version)[0]}"
  tags        = local.tags

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # For replication to another cloud: slots and publications.
  parameter {
    name         = "rds.logical_replication"
    value        = "1"
    apply_method = "pending-reboot"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudwatch_log_group" "postgres" {
  for_each = var.postgres == null ? toset([]) : toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${local.postgres_id}/${each.key}"
  retention_in_days = local.retention_days
  kms_key_id        = aws_kms_key.data.arn
  tags              = local.tags
}

resource "aws_iam_role" "monitoring" {
  for_each = local.prod ? local.postgres : {}

  name = "${local.postgres_id}-monitoring"
  tags = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  for_each = aws_iam_role.monitoring

  role       = each.value.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "postgres" {
  # checkov:skip=CKV_AWS_133: 35 days in prod and 7 in dev, and the variable takes no less than 1; the scan does not work out coalesce()
  for_each = local.postgres

  identifier     = local.postgres_id
  engine         = "postgres"
  engine_version = each.value.version
  instance_class = coalesce(each.value.instance_class, local.prod ? "db.r7g.large" : "db.t4g.medium")
  db_name        = each.value.database
  multi_az       = coalesce(each.value.multi_az, local.prod)

  storage_type          = "gp3"
  allocated_storage     = each.value.storage_gib
  max_allocated_storage = each.value.max_storage_gib
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.data.arn

  # RDS makes the password, keeps it in Secrets Manager and changes it every week: it is in no state and in no plan.
  username                            = "mcml"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = aws_kms_key.data.key_id
  iam_database_authentication_enabled = true

  db_subnet_group_name   = aws_db_subnet_group.postgres[each.key].name
  vpc_security_group_ids = [aws_security_group.postgres[each.key].id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.postgres[each.key].name

  # UTC.
  backup_retention_period    = coalesce(each.value.backup_days, local.prod ? 35 : 7)
  backup_window              = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot      = true
  delete_automated_backups   = !local.last_copies
  deletion_protection        = local.protected
  skip_final_snapshot        = !local.last_copies
  final_snapshot_identifier  = local.last_copies ? "${local.postgres_id}-last" : null
  auto_minor_version_upgrade = true
  apply_immediately          = !local.prod

  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = aws_kms_key.data.arn
  performance_insights_retention_period = local.prod ? 465 : 7
  database_insights_mode                = local.prod ? "advanced" : "standard"
  monitoring_interval                   = local.prod ? 60 : 0
  monitoring_role_arn                   = local.prod ? aws_iam_role.monitoring[each.key].arn : null

  tags = local.tags

  depends_on = [aws_cloudwatch_log_group.postgres, aws_iam_role_policy_attachment.monitoring]
}

resource "aws_cloudwatch_metric_alarm" "postgres" {
  for_each = var.postgres == null ? {} : {
    cpu         = { metric = "CPUUtilization", above = true, threshold = 85, says = "PostgreSQL uses more than 85 % of its CPUs." }
    storage     = { metric = "FreeStorageSpace", above = false, threshold = 10 * 1024 * 1024 * 1024, says = "PostgreSQL has less than 10 GiB left." }
    connections = { metric = "DatabaseConnections", above = true, threshold = local.prod ? 1000 : 200, says = "PostgreSQL has too many connections." }
  }

  alarm_name          = "${local.postgres_id}-${each.key}"
  alarm_description   = each.value.says
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = aws_db_instance.postgres["postgres"].identifier }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = each.value.above ? "GreaterThanThreshold" : "LessThanThreshold"
  threshold           = each.value.threshold
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}
