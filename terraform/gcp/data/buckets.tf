resource "google_storage_bucket" "this" {
  # checkov:skip=CKV_GCP_62: Google advises data access audit logs instead, which are switched on for a project by who owns it
  # checkov:skip=CKV_GCP_78: versions are on but for what is deleted after some days anyway (var.buckets refuses anything else)

  for_each = var.buckets

  project                     = var.project_id
  location                    = upper(var.region)
  name                        = "${var.project_id}-${var.name}-${each.key}"
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = local.labels

  versioning {
    enabled = each.value.versioning
  }

  encryption {
    default_kms_key_name = google_kms_crypto_key.this.id
  }

  # Beside versions: what was deleted with all its versions can be had back for a week.
  soft_delete_policy {
    retention_duration_seconds = each.value.versioning ? 604800 : 0
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.versioning ? [each.value] : []

    content {
      action {
        type = "Delete"
      }

      condition {
        with_state                 = "ARCHIVED"
        days_since_noncurrent_time = lifecycle_rule.value.noncurrent_days
        num_newer_versions         = lifecycle_rule.value.noncurrent_versions
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.nearline_days == null ? [] : [each.value.nearline_days]

    content {
      action {
        type          = "SetStorageClass"
        storage_class = "NEARLINE"
      }

      condition {
        age                   = lifecycle_rule.value
        matches_storage_class = ["STANDARD"]
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.delete_days == null ? [] : [each.value.delete_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age        = lifecycle_rule.value
        with_state = "LIVE"
      }
    }
  }

  # The key must be usable before a bucket can ask for it.
  depends_on = [google_kms_crypto_key_iam_member.this]
}
