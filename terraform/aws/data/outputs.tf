output "kms_key_arn" {
  description = "Key that all data is encrypted with."
  value       = aws_kms_key.data.arn
}

output "buckets" {
  description = "Names of the buckets: models, data, logs."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.bucket }
}

output "bucket_arns" {
  description = "ARNs of the buckets: models, data, logs."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.arn }
}

output "repository_urls" {
  description = "Addresses of the image repositories, by the name that was given."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "ARNs of the image repositories, by the name that was given."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}

output "postgres" {
  description = "PostgreSQL: address, port, database, instance identifier and resource id, and the ARN of the secret that RDS keeps the password in; null where there is none."
  value = var.postgres == null ? null : {
    address     = aws_db_instance.postgres["postgres"].address
    port        = aws_db_instance.postgres["postgres"].port
    database    = aws_db_instance.postgres["postgres"].db_name
    identifier  = aws_db_instance.postgres["postgres"].identifier
    resource_id = aws_db_instance.postgres["postgres"].resource_id
    secret_arn  = aws_db_instance.postgres["postgres"].master_user_secret[0].secret_arn
  }
}

output "redis" {
  description = "Redis: addresses of the primary and of its readers, port, the name of the user that logs in by IAM, and the ARNs of the group and of that user; null where there is none."
  value = var.redis == null ? null : {
    primary  = aws_elasticache_replication_group.redis["redis"].primary_endpoint_address
    readers  = aws_elasticache_replication_group.redis["redis"].reader_endpoint_address
    port     = aws_elasticache_replication_group.redis["redis"].port
    user     = aws_elasticache_user.app["redis"].user_name
    arn      = aws_elasticache_replication_group.redis["redis"].arn
    user_arn = aws_elasticache_user.app["redis"].arn
  }
}
