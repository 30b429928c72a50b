locals {
  redis = var.redis == null ? {} : { redis = var.redis }

  redis_size = {
    dev  = { node_type = "SHARED_CORE_NANO", replicas = 0 }
    prod = { node_type = "HIGHMEM_MEDIUM", replicas = 1 }
  }[var.profile]
}

# Memorystore for Valkey and not for Redis: its users log in by IAM, so there is no auth string that the state would hold.
resource "google_memorystore_instance" "this" {
  for_each = local.redis

  project                     = var.project_id
  location                    = var.region
  instance_id                 = "${var.name}-redis"
  engine_version              = each.value.version
  node_type                   = coalesce(each.value.node_type, local.redis_size.node_type)
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = coalesce(each.value.replicas, local.redis_size.replicas)
  authorization_mode          = "IAM_AUTH"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  kms_key                     = local.key_for.redis
  deletion_protection_enabled = local.protected
  labels                      = local.labels

  desired_auto_created_endpoints {
    project_id = var.project_id
    network    = var.memorystore_network_id
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = "SUNDAY"

      start_time {
        hours = 3
      }
    }
  }

  dynamic "persistence_config" {
    for_each = local.prod ? ["RDB"] : []

    content {
      mode = persistence_config.value

      rdb_config {
        rdb_snapshot_period = "SIX_HOURS"
      }
    }
  }

  dynamic "automated_backup_config" {
    for_each = local.prod ? [each.value.backup_days] : []

    content {
      retention = "${automated_backup_config.value * 86400}s"

      fixed_frequency_schedule {
        start_time {
          hours = 2
        }
      }
    }
  }

  lifecycle {
    # When the first snapshot was taken is not for us to say.
    ignore_changes = [persistence_config[0].rdb_config[0].rdb_snapshot_start_time]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}
