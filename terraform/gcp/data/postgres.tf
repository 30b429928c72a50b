locals {
  # One instance or none; for_each and not count, so that its address in the state says what it is.
  postgres = var.postgres == null ? {} : { postgres = var.postgres }

  postgres_size = {
    dev  = { tier = "db-custom-1-3840", ha = false, backups = 7 }
    prod = { tier = "db-custom-4-15360", ha = true, backups = 30 }
  }[var.profile]

  postgres_flags = {
    "cloudsql.enable_pgaudit"     = "on"
    "cloudsql.iam_authentication" = "on"
    "cloudsql.logical_decoding"   = "on" # for replication to another cloud: slots and publications
    "log_checkpoints"             = "on"
    "log_connections"             = "on"
    "log_disconnections"          = "on"
    "log_duration"                = "off"
    "log_hostname"                = "off"
    "log_lock_waits"              = "on"
    "log_min_duration_statement"  = "1000"
    "log_min_error_statement"     = "error"
    "log_statement"               = "ddl"
    "log_temp_files"              = "0"
  }

  iam_user_types = { user = "CLOUD_IAM_USER", group = "CLOUD_IAM_GROUP", serviceAccount = "CLOUD_IAM_SERVICE_ACCOUNT" }
  iam_users      = var.postgres == null ? {} : var.postgres_users
  iam_user_roles = { for pair in setproduct(keys(local.iam_users), ["client", "instanceUser"]) : "${pair[0]}/${pair[1]}" => { who = pair[0], role = pair[1] } }
}

resource "google_sql_database_instance" "this" {
  # checkov:skip=CKV_GCP_6: TLS is required (ENCRYPTED_ONLY); users prove who they are by IAM, not by client certificates that somebody must keep
  # checkov:skip=CKV_GCP_108: log_hostname asks DNS at every connection; all clients have private addresses without names
  # checkov:skip=CKV_GCP_51: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_52: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_53: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_54: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_109: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_110: local.postgres_flags sets it; checkov does not follow the dynamic block
  # checkov:skip=CKV_GCP_111: local.postgres_flags sets it; checkov does not follow the dynamic block

  for_each = local.postgres

  project             = var.project_id
  region              = var.region
  name                = "${var.name}${local.suffix}"
  database_version    = "POSTGRES_${each.value.version}"
  encryption_key_name = local.key_for.postgres
  deletion_protection = local.protected

  settings {
    tier                        = coalesce(each.value.tier, local.postgres_size.tier)
    edition                     = "ENTERPRISE"
    availability_type           = coalesce(each.value.ha, local.postgres_size.ha) ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = each.value.storage_gib
    disk_autoresize             = true
    disk_autoresize_limit       = each.value.max_storage_gib
    deletion_protection_enabled = local.protected
    retain_backups_on_delete    = local.prod
    user_labels                 = local.labels

    ip_configuration {
      ipv4_enabled    = false
      private_network = var.private_services_network_id
      ssl_mode        = "ENCRYPTED_ONLY"
      server_ca_mode  = "GOOGLE_MANAGED_CAS_CA"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      location                       = var.region
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = coalesce(each.value.backups, local.postgres_size.backups)
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = local.prod ? "stable" : "canary"
    }

    insights_config {
      query_insights_enabled  = true
      query_string_length     = 1024
      record_application_tags = true
      record_client_address   = false
    }

    dynamic "database_flags" {
      for_each = local.postgres_flags

      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    # It grows by itself, and a smaller size would be a new instance.
    ignore_changes = [settings[0].disk_size]
  }

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}

# Terraform lets go of databases and users and never drops them: they end with their instance, if that may end.
resource "google_sql_database" "this" {
  for_each = var.postgres == null ? toset([]) : var.postgres.databases

  project         = var.project_id
  instance        = google_sql_database_instance.this["postgres"].name
  name            = each.key
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "iam" {
  for_each = local.iam_users

  project         = var.project_id
  instance        = google_sql_database_instance.this["postgres"].name
  name            = trimsuffix(split(":", each.value)[1], ".gserviceaccount.com")
  type            = local.iam_user_types[split(":", each.value)[0]]
  deletion_policy = "ABANDON"
}

resource "google_sql_user" "admin" {
  count = var.postgres != null && var.postgres_admin_password_version > 0 ? 1 : 0

  project             = var.project_id
  instance            = google_sql_database_instance.this["postgres"].name
  name                = "admin"
  password_wo         = var.postgres_admin_password
  password_wo_version = var.postgres_admin_password_version
  deletion_policy     = "ABANDON"
}

resource "google_project_iam_member" "postgres" {
  for_each = local.iam_user_roles

  project = var.project_id
  role    = "roles/cloudsql.${each.value.role}"
  member  = local.iam_users[each.value.who]

  condition {
    title      = "${var.name}-postgres"
    expression = "resource.service == 'sqladmin.googleapis.com' && resource.name == 'projects/${var.project_id}/instances/${google_sql_database_instance.this["postgres"].name}'"
  }
}
