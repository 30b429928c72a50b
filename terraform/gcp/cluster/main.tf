locals {
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  labels    = merge(var.tags, { managed-by = "mcml" })
  suffix    = var.generation == "" ? "" : "-${var.generation}"
  agents    = "serviceAccount:service-${data.google_project.this.number}@"
}

resource "google_project_service" "this" {
  for_each = toset(["binaryauthorization.googleapis.com", "cloudkms.googleapis.com", "compute.googleapis.com", "container.googleapis.com"])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_container_cluster" "this" {
  # checkov:skip=CKV_GCP_12: Dataplane V2 enforces network policies, with no add-on
  # checkov:skip=CKV_GCP_21: the labels are there; the scan does not follow them from another module's output through merge()

  project         = var.project_id
  location        = var.region
  name            = var.name
  description     = "Made by mcml."
  resource_labels = local.labels
  node_locations  = length(var.zones) > 0 ? var.zones : null

  # See guard.tf: this alone would keep the control plane, after its pools are gone.
  deletion_protection = local.protected

  # The pools are in pools.tf. The one that GKE insists on is deleted at once; it is made as the others, for policies that look at it.
  remove_default_node_pool = true
  initial_node_count       = 1

  node_config {
    service_account   = google_service_account.nodes.email
    boot_disk_kms_key = google_kms_crypto_key.disks.id

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  release_channel {
    channel = var.release_channel
  }

  # Weekend nights: 16 hours a week, of which GKE asks for at least 48 in 32 days.
  maintenance_policy {
    recurring_window {
      start_time = "2025-01-04T00:00:00Z"
      end_time   = "2025-01-04T08:00:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=SA,SU"
    }
  }

  network           = var.network_id
  subnetwork        = var.subnetwork_id
  networking_mode   = "VPC_NATIVE"
  datapath_provider = "ADVANCED_DATAPATH"

  enable_intranode_visibility = local.prod
  enable_l4_ilb_subsetting    = true

  ip_allocation_policy {
    cluster_secondary_range_name  = var.pods_range_name
    services_secondary_range_name = var.services_range_name
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
  }

  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = var.dns_endpoint
    }

    ip_endpoints_config {
      enabled = !var.dns_endpoint
    }
  }

  # An empty block would switch the IP endpoint on again.
  dynamic "master_authorized_networks_config" {
    for_each = var.dns_endpoint ? [] : [var.authorized_ranges]

    content {
      gcp_public_cidrs_access_enabled = false

      dynamic "cidr_blocks" {
        for_each = master_authorized_networks_config.value

        content {
          display_name = cidr_blocks.key
          cidr_block   = cidr_blocks.value
        }
      }
    }
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  # Who calls: IAM, never a certificate or an anonymous caller (but health checks).
  enable_legacy_abac = false

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  anonymous_authentication_config {
    mode = "LIMITED"
  }

  rbac_binding_config {
    enable_insecure_binding_system_authenticated   = false
    enable_insecure_binding_system_unauthenticated = false
  }

  dynamic "authenticator_groups_config" {
    for_each = var.security_group == "" ? [] : [var.security_group]

    content {
      security_group = authenticator_groups_config.value
    }
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  database_encryption {
    state    = "ENCRYPTED"
    key_name = google_kms_crypto_key.secrets.id
  }

  enable_shielded_nodes = true

  node_pool_defaults {
    node_config_defaults {
      insecure_kubelet_readonly_port_enabled = "FALSE"

      gcfs_config {
        enabled = true
      }
    }
  }

  binary_authorization {
    evaluation_mode = "PROJECT_SINGLETON_POLICY_ENFORCE"
  }

  security_posture_config {
    mode = "BASIC"
  }

  secret_manager_config {
    enabled = true
  }

  cost_management_config {
    enabled = true
  }

  cluster_autoscaling {
    autoscaling_profile = local.prod ? "BALANCED" : "OPTIMIZE_UTILIZATION"
  }

  vertical_pod_autoscaling {
    enabled = true
  }

  addons_config {
    dns_cache_config {
      enabled = true
    }

    gce_persistent_disk_csi_driver_config {
      enabled = true
    }

    gcs_fuse_csi_driver_config {
      enabled = true
    }

    horizontal_pod_autoscaling {
      disabled = false
    }

    http_load_balancing {
      disabled = false
    }
  }

  logging_config {
    enable_components = concat(["SYSTEM_COMPONENTS", "WORKLOADS"], local.prod ? ["APISERVER", "CONTROLLER_MANAGER", "SCHEDULER"] : [])
  }

  monitoring_config {
    enable_components = concat(["SYSTEM_COMPONENTS", "DCGM"], local.prod ? ["APISERVER", "CONTROLLER_MANAGER", "SCHEDULER", "DEPLOYMENT", "HPA", "POD", "STORAGE"] : [])

    managed_prometheus {
      enabled = true
    }
  }

  lifecycle {
    # That of the pool that is gone.
    ignore_changes = [initial_node_count, node_config]
  }

  depends_on = [
    google_project_service.this,
    google_kms_crypto_key_iam_member.disks,
    google_kms_crypto_key_iam_member.secrets,
    google_project_iam_member.nodes,
  ]
}
