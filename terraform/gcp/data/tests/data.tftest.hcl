variables {
  project_id                  = "acme-123"
  region                      = "europe-west1"
  name                        = "acme-dev"
  tags                        = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  private_services_network_id = "projects/acme-123/global/networks/acme-dev"
  memorystore_network_id      = "projects/acme-123/global/networks/acme-dev"

  # Terraform 1.11 takes no ephemeral variable back to its default between plan and apply of a test.
  postgres_admin_password = "not-used-in-this-test"
}

run "dev" {
  variables {
    postgres_users   = { analyst = "user:ada@example.com", serving = "serviceAccount:serving@acme-123.iam.gserviceaccount.com" }
    registry_readers = { nodes = "serviceAccount:nodes@acme-123.iam.gserviceaccount.com" }
  }

  assert {
    condition = alltrue([
      google_sql_database_instance.this["postgres"].database_version == "POSTGRES_17",
      google_sql_database_instance.this["postgres"].settings[0].tier == "db-custom-1-3840",
      google_sql_database_instance.this["postgres"].settings[0].availability_type == "ZONAL",
      google_sql_database_instance.this["postgres"].settings[0].backup_configuration[0].enabled,
      google_sql_database_instance.this["postgres"].settings[0].backup_configuration[0].point_in_time_recovery_enabled,
      google_sql_database_instance.this["postgres"].settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups == 7,
    ])
    error_message = "Development has a small PostgreSQL in one zone, backed up all the same."
  }

  assert {
    condition = alltrue([
      google_sql_database_instance.this["postgres"].settings[0].ip_configuration[0].ipv4_enabled == false,
      google_sql_database_instance.this["postgres"].settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY",
      google_sql_database_instance.this["postgres"].settings[0].ip_configuration[0].private_network == var.private_services_network_id,
      google_sql_database_instance.this["postgres"].root_password == null,
    ])
    error_message = "PostgreSQL has a private address and speaks TLS."
  }

  assert {
    condition = length(setsubtract(
      [
        "cloudsql.enable_pgaudit=on", "cloudsql.iam_authentication=on", "cloudsql.logical_decoding=on", "log_checkpoints=on",
        "log_connections=on", "log_disconnections=on", "log_lock_waits=on", "log_min_error_statement=error", "log_statement=ddl",
      ],
      [for flag in google_sql_database_instance.this["postgres"].settings[0].database_flags : "${flag.name}=${flag.value}"],
    )) == 0
    error_message = "Users log in by IAM, what they do is logged, and another cloud may follow the changes."
  }

  assert {
    condition = alltrue([
      length(google_sql_user.admin) == 0,
      google_sql_user.iam["analyst"].type == "CLOUD_IAM_USER",
      google_sql_user.iam["serving"].name == "serving@acme-123.iam",
      google_sql_user.iam["serving"].type == "CLOUD_IAM_SERVICE_ACCOUNT",
      length(google_project_iam_member.postgres) == 4,
      endswith(google_project_iam_member.postgres["serving/instanceUser"].condition[0].expression, "'projects/acme-123/instances/acme-dev'"),
    ])
    error_message = "Users may log in to this instance and no other, and nobody has a password."
  }

  assert {
    condition     = alltrue([for database in google_sql_database.this : database.deletion_policy == "ABANDON"]) && toset(output.postgres.databases) == toset(["mcml", "mlflow"])
    error_message = "No database is dropped before its instance is."
  }

  assert {
    condition = alltrue([
      google_memorystore_instance.this["redis"].authorization_mode == "IAM_AUTH",
      google_memorystore_instance.this["redis"].transit_encryption_mode == "SERVER_AUTHENTICATION",
      google_memorystore_instance.this["redis"].node_type == "SHARED_CORE_NANO",
      google_memorystore_instance.this["redis"].replica_count == 0,
      length(google_memorystore_instance.this["redis"].automated_backup_config) == 0,
    ])
    error_message = "Redis is asked over TLS, by those whom IAM knows."
  }

  assert {
    condition = alltrue([for bucket in google_storage_bucket.this : alltrue([
      bucket.uniform_bucket_level_access,
      bucket.public_access_prevention == "enforced",
      bucket.encryption[0].default_kms_key_name == google_kms_crypto_key.this.id,
      bucket.force_destroy == false,
      bucket.labels == tomap({ project = "acme", environment = "dev", team = "risk", cost-centre = "7", managed-by = "mcml" }),
    ])])
    error_message = "No bucket is public, all are encrypted with our key, none is deleted with what is in it."
  }

  assert {
    condition     = output.buckets == { models = "acme-123-acme-dev-models", data = "acme-123-acme-dev-data", staging = "acme-123-acme-dev-staging" }
    error_message = "There are buckets for models, data and what is on its way."
  }

  assert {
    condition = alltrue([
      google_storage_bucket.this["models"].versioning[0].enabled,
      google_storage_bucket.this["data"].versioning[0].enabled,
      one(google_storage_bucket.this["models"].lifecycle_rule[1].condition).days_since_noncurrent_time == 90,
      one(google_storage_bucket.this["models"].lifecycle_rule[1].condition).num_newer_versions == 10,
      one(google_storage_bucket.this["data"].lifecycle_rule[2].action).storage_class == "NEARLINE",
      !google_storage_bucket.this["staging"].versioning[0].enabled,
      one(google_storage_bucket.this["staging"].lifecycle_rule[1].condition).age == 7,
    ])
    error_message = "Models and data are versioned, and old versions go; what was staged goes after a week."
  }

  assert {
    condition = alltrue([
      google_bigquery_dataset.ml.dataset_id == "acme_dev_ml",
      google_bigquery_dataset.ml.location == "europe-west1",
      google_bigquery_dataset.ml.default_encryption_configuration[0].kms_key_name == google_kms_crypto_key.this.id,
      google_bigquery_dataset.costs.location == "EU",
      google_bigquery_dataset.ml.delete_contents_on_destroy == false,
      output.billing_table == "",
    ])
    error_message = "There is a data set for features, encrypted with our key, and a place for the billing export."
  }

  assert {
    condition = alltrue([
      toset([for policy in google_artifact_registry_repository.this.cleanup_policies : "${policy.id} ${policy.action}"]) == toset(["keep-newest KEEP", "delete-untagged DELETE"]),
      google_artifact_registry_repository.this.cleanup_policy_dry_run == false,
      output.repository == "europe-west1-docker.pkg.dev/acme-123/acme-dev",
      google_artifact_registry_repository_iam_member.readers["nodes"].role == "roles/artifactregistry.reader",
    ])
    error_message = "Untagged images go, and nodes may pull."
  }

  assert {
    condition     = keys(google_kms_crypto_key_iam_member.this) == ["buckets", "warehouse"] && google_kms_crypto_key.this.rotation_period == "7776000s"
    error_message = "The key turns over, and is used by the two services that have an account for it."
  }
}

run "prod" {
  command = plan

  variables {
    profile              = "prod"
    generation           = "b"
    own_key_for          = ["postgres", "redis", "registry"]
    billing_export_table = "acme-finance.billing.gcp_billing_export_focus_v1"
    registry             = { tagged_days = 365 }
  }

  assert {
    condition = alltrue([
      google_sql_database_instance.this["postgres"].name == "acme-dev-b",
      google_sql_database_instance.this["postgres"].settings[0].availability_type == "REGIONAL",
      google_sql_database_instance.this["postgres"].settings[0].tier == "db-custom-4-15360",
      google_sql_database_instance.this["postgres"].settings[0].backup_configuration[0].backup_retention_settings[0].retained_backups == 30,
      google_sql_database_instance.this["postgres"].settings[0].retain_backups_on_delete,
    ])
    error_message = "Production has a PostgreSQL in two zones, and its backups outlive it."
  }

  assert {
    condition = alltrue([
      output.deletion_protection,
      terraform_data.guard.input.protected,
      google_sql_database_instance.this["postgres"].deletion_protection,
      google_sql_database_instance.this["postgres"].settings[0].deletion_protection_enabled,
      google_memorystore_instance.this["redis"].deletion_protection_enabled,
    ])
    error_message = "What holds data in production refuses to be deleted."
  }

  assert {
    condition = alltrue([
      google_memorystore_instance.this["redis"].node_type == "HIGHMEM_MEDIUM",
      google_memorystore_instance.this["redis"].replica_count == 1,
      google_memorystore_instance.this["redis"].automated_backup_config[0].retention == "1209600s",
      google_memorystore_instance.this["redis"].persistence_config[0].mode == "RDB",
    ])
    error_message = "Redis has a replica and backups in production."
  }

  assert {
    condition = alltrue([
      length(google_kms_crypto_key_iam_member.this) == 5,
      google_kms_crypto_key_iam_member.this["postgres"].member == "serviceAccount:service-123456789012@gcp-sa-cloud-sql.iam.gserviceaccount.com",
      google_kms_key_ring.this.name == "acme-dev-data-b",
    ])
    error_message = "Whoever asks for it has the key of ours for everything."
  }

  assert {
    condition     = google_bigquery_table.billing[0].view[0].query == "SELECT * FROM `acme-finance.billing.gcp_billing_export_focus_v1` WHERE SubAccountId = 'acme-123'" && output.billing_table == "acme-123.acme_dev_costs.gcp_billing_export_focus_view"
    error_message = "The view shows this project's rows, and its name says that they are FOCUS."
  }

  assert {
    condition     = contains([for policy in google_artifact_registry_repository.this.cleanup_policies : policy.id], "delete-tagged")
    error_message = "Tagged images go when somebody says so."
  }
}

run "none" {
  command = plan

  variables {
    postgres             = null
    redis                = null
    buckets              = {}
    warehouse_location   = "EU"
    billing_export_table = "acme-finance.billing.gcp_billing_export_v1_012345"
    postgres_users       = { analyst = "user:ada@example.com" }
  }

  assert {
    condition     = output.postgres == null && output.redis == null && length(google_project_iam_member.postgres) == 0
    error_message = "What is not wanted is not made, nor are its users."
  }

  assert {
    condition     = length(google_bigquery_dataset.ml.default_encryption_configuration) == 0
    error_message = "A key of one region is not asked for in several."
  }

  assert {
    condition     = endswith(google_bigquery_table.billing[0].view[0].query, "WHERE project.id = 'acme-123'") && google_bigquery_table.billing[0].table_id == "billing"
    error_message = "The standard export tells projects apart by project.id."
  }
}

run "nothing_of_production_is_deleted_with_what_is_in_it" {
  command = plan

  variables {
    profile       = "prod"
    force_destroy = true
  }

  expect_failures = [var.force_destroy]
}
