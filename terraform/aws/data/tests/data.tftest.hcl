provider "aws" {
  region = "eu-central-1"
}

variables {
  name                      = "acme-dev"
  tags                      = { project = "acme", environment = "dev", team = "ml", cost-centre = "4711" }
  vpc_id                    = "vpc-1"
  database_subnet_ids       = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_group_ids = { cluster = "sg-1" }
}

run "dev_is_small" {
  command = plan

  assert {
    condition     = aws_db_instance.postgres["postgres"].instance_class == "db.t4g.medium" && !aws_db_instance.postgres["postgres"].multi_az && aws_db_instance.postgres["postgres"].backup_retention_period == 7
    error_message = "In dev, PostgreSQL is small, in one zone, with a week of backups."
  }

  assert {
    condition     = aws_elasticache_replication_group.redis["redis"].node_type == "cache.t4g.small" && aws_elasticache_replication_group.redis["redis"].num_cache_clusters == 1 && !aws_elasticache_replication_group.redis["redis"].automatic_failover_enabled
    error_message = "In dev, Redis is one small node."
  }

  assert {
    condition     = !aws_db_instance.postgres["postgres"].deletion_protection && aws_db_instance.postgres["postgres"].skip_final_snapshot
    error_message = "In dev, what was made can be removed."
  }

  assert {
    condition     = output.buckets == { data = "acme-dev-data-123456789012", logs = "acme-dev-logs-123456789012", models = "acme-dev-models-123456789012" }
    error_message = "Buckets are named by the account."
  }
}

run "nothing_is_public_and_everything_encrypted" {
  command = plan

  assert {
    condition     = !aws_db_instance.postgres["postgres"].publicly_accessible && aws_db_instance.postgres["postgres"].storage_encrypted && aws_db_instance.postgres["postgres"].iam_database_authentication_enabled
    error_message = "PostgreSQL is encrypted and has no public address."
  }

  assert {
    condition     = aws_db_instance.postgres["postgres"].manage_master_user_password && aws_db_instance.postgres["postgres"].password == null && aws_db_instance.postgres["postgres"].password_wo == null
    error_message = "RDS keeps the password; we have none."
  }

  assert {
    condition     = one([for one in aws_db_parameter_group.postgres["postgres"].parameter : one.value if one.name == "rds.force_ssl"]) == "1" && aws_db_parameter_group.postgres["postgres"].family == "postgres17"
    error_message = "PostgreSQL is spoken to with TLS only."
  }

  assert {
    condition     = tobool(aws_elasticache_replication_group.redis["redis"].at_rest_encryption_enabled) && aws_elasticache_replication_group.redis["redis"].transit_encryption_mode == "required" && aws_elasticache_replication_group.redis["redis"].auth_token == null
    error_message = "Redis is encrypted, at rest and on the way, and has no token."
  }

  assert {
    condition     = aws_elasticache_user.app["redis"].authentication_mode[0].type == "iam" && aws_elasticache_user.app["redis"].user_id == aws_elasticache_user.app["redis"].user_name && startswith(aws_elasticache_user.default["redis"].access_string, "off ")
    error_message = "Users log in by IAM, and the default one is off."
  }

  assert {
    condition     = alltrue([for one in aws_s3_bucket_public_access_block.this : one.block_public_acls && one.block_public_policy && one.ignore_public_acls && one.restrict_public_buckets]) && length(aws_s3_bucket_public_access_block.this) == 3
    error_message = "No bucket can be made public."
  }

  assert {
    condition     = { for kind, one in aws_s3_bucket_server_side_encryption_configuration.this : kind => [for rule in one.rule : rule.apply_server_side_encryption_by_default[0].sse_algorithm] } == { data = ["aws:kms"], logs = ["AES256"], models = ["aws:kms"] }
    error_message = "Buckets are encrypted, models and data with our key."
  }

  assert {
    condition     = alltrue([for one in aws_s3_bucket_versioning.this : one.versioning_configuration[0].status == "Enabled"]) && alltrue([for one in aws_s3_bucket.this : !one.force_destroy])
    error_message = "What is overwritten can be had back, and no bucket goes with what is in it."
  }

  assert {
    condition     = alltrue([for one in aws_ecr_repository.this : one.image_tag_mutability == "IMMUTABLE" && one.image_scanning_configuration[0].scan_on_push && one.encryption_configuration[0].encryption_type == "KMS"])
    error_message = "Images are scanned and encrypted, and a tag stays what it was."
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.postgres) == ["cluster"] && aws_vpc_security_group_ingress_rule.postgres["cluster"].referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.redis["cluster"].cidr_ipv4 == null
    error_message = "The databases are open to the named groups and to no address."
  }
}

run "lifecycles" {
  command = plan

  assert {
    condition     = { for kind, one in aws_s3_bucket_lifecycle_configuration.this : kind => flatten([one.rule[0].transition[*].days, one.rule[0].expiration[*].days]) } == { data = [30], logs = [30], models = [] }
    error_message = "Data is tiered after 30 days, logs expire after 30, and models stay."
  }

  assert {
    condition     = alltrue([for one in aws_s3_bucket_lifecycle_configuration.this : one.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30 && one.rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 7])
    error_message = "Old versions go after 30 days, half uploads after 7."
  }

  assert {
    condition     = [for rule in jsondecode(aws_ecr_lifecycle_policy.this["serving"].policy).rules : rule.selection.tagStatus] == ["untagged", "any"]
    error_message = "Untagged images go first."
  }
}

run "prod_survives_a_zone" {
  command = plan

  variables {
    name            = "acme-prod"
    profile         = "prod"
    alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:acme-prod-alarms"
  }

  assert {
    condition     = aws_db_instance.postgres["postgres"].multi_az && aws_db_instance.postgres["postgres"].instance_class == "db.r7g.large" && aws_db_instance.postgres["postgres"].backup_retention_period == 35
    error_message = "In prod, PostgreSQL is in two zones, with 35 days of backups."
  }

  assert {
    condition     = aws_db_instance.postgres["postgres"].deletion_protection && !aws_db_instance.postgres["postgres"].skip_final_snapshot && aws_db_instance.postgres["postgres"].final_snapshot_identifier == "acme-prod-postgres-last" && !aws_db_instance.postgres["postgres"].delete_automated_backups
    error_message = "In prod, PostgreSQL is not deleted by accident, and never without a last snapshot."
  }

  assert {
    condition     = aws_elasticache_replication_group.redis["redis"].num_cache_clusters == 2 && aws_elasticache_replication_group.redis["redis"].multi_az_enabled && aws_elasticache_replication_group.redis["redis"].automatic_failover_enabled && aws_elasticache_replication_group.redis["redis"].final_snapshot_identifier == "acme-prod-redis-last"
    error_message = "In prod, Redis is in two zones."
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.redis) == ["001-cpu", "001-evictions", "001-memory", "002-cpu", "002-evictions", "002-memory"] && keys(aws_cloudwatch_metric_alarm.postgres) == ["connections", "cpu", "storage"]
    error_message = "Every node is watched."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.postgres : alarm.alarm_actions == toset([var.alarm_topic_arn])]) && aws_cloudwatch_log_group.postgres["postgresql"].retention_in_days == 365
    error_message = "Alarms go to the topic, and logs are kept for a year."
  }
}

run "without_databases" {
  command = plan

  variables {
    postgres      = null
    redis         = null
    force_destroy = true
  }

  assert {
    condition     = output.postgres == null && output.redis == null && length(aws_db_instance.postgres) + length(aws_elasticache_replication_group.redis) + length(aws_security_group.postgres) + length(aws_security_group.redis) + length(aws_cloudwatch_metric_alarm.redis) + length(aws_cloudwatch_log_group.postgres) == 0
    error_message = "What is not wanted leaves nothing."
  }
}

run "what_is_wrong_is_refused" {
  command = plan

  variables {
    name                = "acme--dev"
    profile             = "prod"
    tags                = { project = "acme", environment = "dev", team = "ml", cost-centre = "" }
    database_subnet_ids = []
    postgres            = { version = "9.6", storage_gib = 10, backup_days = 0 }
    redis               = { version = "6.2", nodes = 9 }
    repositories        = ["Serving"]
    kept_images         = 1
    noncurrent_days     = 1
    force_destroy       = true
    log_retention_days  = 2
  }

  expect_failures = [
    var.name, var.tags, var.database_subnet_ids, var.postgres, var.redis, var.repositories, var.kept_images, var.noncurrent_days,
    var.force_destroy, var.log_retention_days,
  ]
}
