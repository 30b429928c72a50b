locals {
  pools = {
    general = {
      given  = var.general
      spot   = var.general.spot
      min    = coalesce(var.general.min, local.prod ? 3 : 1)
      max    = coalesce(var.general.max, max(local.prod ? 6 : 3, coalesce(var.general.min, 1)))
      zones  = []
      gpu    = []
      taints = {}
    }
    ml = {
      given  = var.ml
      spot   = coalesce(var.ml.spot, !local.prod)
      min    = coalesce(var.ml.min, local.prod ? 2 : 0)
      max    = coalesce(var.ml.max, max(local.prod ? 10 : 4, coalesce(var.ml.min, 0)))
      zones  = []
      gpu    = []
      taints = {}
    }
    gpu = {
      given  = var.gpu
      spot   = coalesce(var.gpu.spot, !local.prod)
      min    = var.gpu.min
      max    = coalesce(var.gpu.max, max(local.prod ? 8 : 2, var.gpu.min))
      zones  = var.gpu.zones
      gpu    = [var.gpu]
      taints = { "nvidia.com/gpu" = "present" }
    }
  }
}

# What a node may do: logs, metrics, and nothing else. Images are pulled by a right on the repository; pods have identities of their own.
resource "google_service_account" "nodes" {
  project      = var.project_id
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of ${var.name}"
  description  = "Logs and metrics of the nodes; pods have identities of their own."
}

resource "google_project_iam_member" "nodes" {
  project = var.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_container_node_pool" "this" {
  for_each = local.pools

  project            = var.project_id
  location           = var.region
  cluster            = google_container_cluster.this.id
  name               = each.key
  initial_node_count = each.value.min > 0 ? 1 : 0
  node_locations     = length(each.value.zones) > 0 ? each.value.zones : null

  # Of the whole region, not of each zone.
  autoscaling {
    total_min_node_count = each.value.min
    total_max_node_count = each.value.max
    location_policy      = each.value.spot || length(each.value.gpu) > 0 ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  # A GPU more for the time of an upgrade is often not to be had.
  upgrade_settings {
    strategy        = "SURGE"
    max_surge       = length(each.value.gpu) > 0 ? 0 : 1
    max_unavailable = length(each.value.gpu) > 0 ? 1 : 0
  }

  network_config {
    enable_private_nodes = true
  }

  node_config {
    machine_type      = each.value.given.machine_type
    spot              = each.value.spot
    image_type        = "COS_CONTAINERD"
    disk_type         = "pd-balanced"
    disk_size_gb      = each.value.given.disk_gib
    boot_disk_kms_key = google_kms_crypto_key.disks.id
    service_account   = google_service_account.nodes.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    metadata          = { disable-legacy-endpoints = "true" }
    labels            = { "mcml/pool" = each.key }
    resource_labels   = local.labels

    dynamic "guest_accelerator" {
      for_each = each.value.gpu

      content {
        type  = guest_accelerator.value.accelerator
        count = guest_accelerator.value.count

        gpu_driver_installation_config {
          gpu_driver_version = guest_accelerator.value.driver
        }
      }
    }

    # GKE adds the same taint by itself, but not while a cluster has no other pool.
    dynamic "taint" {
      for_each = each.value.taints

      content {
        key    = taint.key
        value  = taint.value
        effect = "NO_SCHEDULE"
      }
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    kubelet_config {
      insecure_kubelet_readonly_port_enabled = "FALSE"
    }

    # Images are streamed: a model server starts before its image is there as a whole.
    gcfs_config {
      enabled = true
    }

    gvnic {
      enabled = true
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}
