resource "google_artifact_registry_repository" "this" {
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images of model servers and training."
  format        = "DOCKER"
  kms_key_name  = local.key_for.registry
  labels        = local.labels

  cleanup_policy_dry_run = false

  docker_config {
    immutable_tags = var.registry.immutable_tags
  }

  # Follows the project: switch on containerscanning.googleapis.com where scanning is paid for.
  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.registry.kept
    }
  }

  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"

    condition {
      tag_state  = "UNTAGGED"
      older_than = "${var.registry.untagged_days * 86400}s"
    }
  }

  dynamic "cleanup_policies" {
    for_each = var.registry.tagged_days == null ? [] : [var.registry.tagged_days]

    content {
      id     = "delete-tagged"
      action = "DELETE"

      condition {
        tag_state  = "TAGGED"
        older_than = "${cleanup_policies.value * 86400}s"
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  for_each = var.registry_readers

  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.reader"
  member     = each.value
}
