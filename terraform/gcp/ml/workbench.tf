locals {
  idle_minutes = local.prod ? 180 : 60

  workbench_buckets = setintersection(["data", "models"], keys(var.buckets))
}

# Key rings and keys can never be deleted at Google, only their versions: hence `generation` in the ring's name.
resource "google_kms_key_ring" "this" {
  project  = var.project_id
  location = var.region
  name     = "${var.name}-ml${local.suffix}"

  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key" "disks" {
  # checkov:skip=CKV_GCP_82: the guard refuses in prod, destroyed versions can be restored for 30 days, and an environment must be destroyable

  name                       = "disks"
  key_ring                   = google_kms_key_ring.this.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  labels                     = local.labels
}

resource "google_kms_crypto_key_iam_member" "disks" {
  crypto_key_id = google_kms_crypto_key.disks.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com"

  # Google makes this account when the API is switched on.
  depends_on = [google_project_service.this]
}

resource "google_service_account" "workbench" {
  project      = var.project_id
  account_id   = "${var.name}-workbench"
  display_name = "Workbenches of ${var.name}"
  description  = "Reads data and models, runs queries and Vertex AI jobs."

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "workbench" {
  for_each = toset(["roles/aiplatform.user", "roles/bigquery.jobUser", "roles/logging.logWriter", "roles/monitoring.metricWriter"])

  project = var.project_id
  role    = each.key
  member  = google_service_account.workbench.member
}

resource "google_storage_bucket_iam_member" "workbench" {
  for_each = local.workbench_buckets

  bucket = var.buckets[each.key]
  role   = "roles/storage.objectViewer"
  member = google_service_account.workbench.member
}

resource "google_bigquery_dataset_iam_member" "workbench" {
  project    = var.project_id
  dataset_id = var.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.workbench.member
}

resource "google_service_account_iam_member" "workbench_users" {
  for_each = var.workbench_users

  service_account_id = google_service_account.workbench.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_workbench_instance" "this" {
  for_each = var.workbenches

  project         = var.project_id
  location        = coalesce(each.value.zone, "${var.region}-b")
  name            = "${var.name}-${each.key}"
  instance_owners = each.value.owner == null ? null : [each.value.owner]
  labels          = local.labels

  gce_setup {
    machine_type      = each.value.machine_type
    disable_public_ip = true

    network_interfaces {
      network = var.network_id
      subnet  = var.machines_subnetwork_id
    }

    service_accounts {
      email = google_service_account.workbench.email
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_vtpm                 = true
      enable_integrity_monitoring = true
    }

    boot_disk {
      disk_type       = "PD_BALANCED"
      disk_size_gb    = "150"
      disk_encryption = "CMEK"
      kms_key         = google_kms_crypto_key.disks.id
    }

    data_disks {
      disk_type       = "PD_BALANCED"
      disk_size_gb    = tostring(each.value.disk_gib)
      disk_encryption = "CMEK"
      kms_key         = google_kms_crypto_key.disks.id
    }

    dynamic "accelerator_configs" {
      for_each = each.value.gpu == null ? [] : [each.value.gpu]

      content {
        type       = accelerator_configs.value.type
        core_count = tostring(accelerator_configs.value.count)
      }
    }

    metadata = merge(
      { "notebook-disable-root" = "true", "serial-port-logging-enable" = "false" },
      coalesce(each.value.idle_minutes, local.idle_minutes) == 0 ? {} : {
        "idle-timeout-seconds" = tostring(coalesce(each.value.idle_minutes, local.idle_minutes) * 60)
      },
    )
  }

  lifecycle {
    # An idle one is stopped, which is no drift; people start it again.
    ignore_changes = [desired_state]
  }

  depends_on = [google_kms_crypto_key_iam_member.disks, google_project_iam_member.workbench]
}

# Vertex AI knows no deletion protection, and disks go with their workbench. This one is destroyed first, and refuses.
resource "terraform_data" "guard" {
  for_each = var.workbenches

  input            = { name = "${var.name}-${each.key}", protected = local.protected }
  triggers_replace = [google_workbench_instance.this[each.key].id]

  provisioner "local-exec" {
    when        = destroy
    interpreter = ["/bin/sh", "-c"]
    command     = self.output.protected ? "echo 'Workbench ${self.output.name} is protected: apply with deletion_protection = false first.' >&2; exit 1" : ":"
  }

  # All that nothing else depends on: else it would go meanwhile.
  depends_on = [
    google_artifact_registry_repository_iam_member.operator,
    google_bigquery_dataset_iam_member.operator,
    google_bigquery_dataset_iam_member.workbench,
    google_bigquery_dataset_iam_member.workload,
    google_project_iam_member.operator,
    google_project_iam_member.workload,
    google_service_account_iam_member.operator_runs,
    google_service_account_iam_member.operators,
    google_service_account_iam_member.workbench_users,
    google_service_account_iam_member.workload_identity,
    google_sql_user.workload,
    google_storage_bucket_iam_member.operator,
    google_storage_bucket_iam_member.reads,
    google_storage_bucket_iam_member.workbench,
    google_storage_bucket_iam_member.writes,
  ]
}
