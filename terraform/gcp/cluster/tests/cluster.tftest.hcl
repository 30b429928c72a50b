variables {
  project_id    = "acme-123"
  region        = "europe-west1"
  name          = "acme-dev"
  tags          = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  network_id    = "projects/acme-123/global/networks/acme-dev"
  subnetwork_id = "projects/acme-123/regions/europe-west1/subnetworks/acme-dev-nodes"
}

run "dev" {
  assert {
    condition     = google_container_cluster.this.location == "europe-west1" && google_container_cluster.this.release_channel[0].channel == "REGULAR"
    error_message = "The cluster is regional, and follows a release channel."
  }

  assert {
    condition = output.pools == {
      general = { machine_type = "e2-standard-4", spot = false, min = 1, max = 3, gpus = 0 }
      ml      = { machine_type = "n2-standard-8", spot = true, min = 0, max = 4, gpus = 0 }
      gpu     = { machine_type = "g2-standard-8", spot = true, min = 0, max = 2, gpus = 1 }
    }
    error_message = "Development is small, and on spot nodes where it can be."
  }

  assert {
    condition = alltrue([for name, pool in google_container_node_pool.this : alltrue([
      pool.management[0].auto_upgrade,
      pool.management[0].auto_repair,
      pool.network_config[0].enable_private_nodes,
      pool.node_config[0].shielded_instance_config[0].enable_secure_boot,
      pool.node_config[0].shielded_instance_config[0].enable_integrity_monitoring,
      pool.node_config[0].workload_metadata_config[0].mode == "GKE_METADATA",
      pool.node_config[0].kubelet_config[0].insecure_kubelet_readonly_port_enabled == "FALSE",
      pool.node_config[0].metadata["disable-legacy-endpoints"] == "true",
      pool.node_config[0].service_account == google_service_account.nodes.email,
      pool.node_config[0].boot_disk_kms_key == google_kms_crypto_key.disks.id,
      pool.node_config[0].labels["mcml/pool"] == name,
    ])])
    error_message = "Every pool is private, shielded, encrypted with our key, and upgrades itself."
  }

  assert {
    condition     = google_container_node_pool.this["gpu"].node_config[0].taint == tolist([{ key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }])
    error_message = "Only what asks for a GPU runs on a node with one."
  }

  assert {
    condition     = google_container_node_pool.this["gpu"].node_config[0].guest_accelerator[0].type == "nvidia-l4" && google_container_node_pool.this["gpu"].node_config[0].guest_accelerator[0].gpu_driver_installation_config[0].gpu_driver_version == "DEFAULT"
    error_message = "A GPU node has its GPU, and GKE its driver."
  }

  assert {
    condition     = google_container_node_pool.this["gpu"].initial_node_count == 0 && google_container_node_pool.this["gpu"].autoscaling[0].total_min_node_count == 0
    error_message = "GPUs are there when somebody asks for them."
  }

  assert {
    condition     = length(google_container_node_pool.this["general"].node_config[0].taint) == 0 && length(google_container_node_pool.this["general"].node_config[0].guest_accelerator) == 0
    error_message = "Anything runs on the general pool."
  }

  assert {
    condition = alltrue([
      google_container_cluster.this.private_cluster_config[0].enable_private_nodes,
      google_container_cluster.this.private_cluster_config[0].enable_private_endpoint,
      !google_container_cluster.this.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled,
      google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].allow_external_traffic,
      length(google_container_cluster.this.master_authorized_networks_config) == 0,
    ])
    error_message = "The control plane has a DNS name that IAM guards, and no IP endpoint."
  }

  assert {
    condition = alltrue([
      google_container_cluster.this.database_encryption[0].state == "ENCRYPTED",
      google_container_cluster.this.database_encryption[0].key_name == google_kms_crypto_key.secrets.id,
      google_kms_crypto_key.secrets.rotation_period == "7776000s",
      google_kms_crypto_key_iam_member.secrets.member == "serviceAccount:service-123456789012@container-engine-robot.iam.gserviceaccount.com",
    ])
    error_message = "Secrets are encrypted with a key of ours that turns over, which GKE may use."
  }

  assert {
    condition = alltrue([
      google_container_cluster.this.workload_identity_config[0].workload_pool == "acme-123.svc.id.goog",
      !google_container_cluster.this.master_auth[0].client_certificate_config[0].issue_client_certificate,
      google_container_cluster.this.anonymous_authentication_config[0].mode == "LIMITED",
      google_container_cluster.this.enable_legacy_abac == false,
      google_project_iam_member.nodes.role == "roles/container.defaultNodeServiceAccount",
    ])
    error_message = "Pods and people are who IAM says; nodes may write logs and metrics."
  }

  assert {
    condition     = google_container_cluster.this.cost_management_config[0].enabled && google_container_cluster.this.gateway_api_config[0].channel == "CHANNEL_STANDARD"
    error_message = "Costs are told apart by namespace and label; routes are Gateway API."
  }

  assert {
    condition     = google_container_cluster.this.resource_labels == tomap({ project = "acme", environment = "dev", team = "risk", cost-centre = "7", managed-by = "mcml" })
    error_message = "The cluster has the labels that costs are read by."
  }

  assert {
    condition     = output.deletion_protection == false && terraform_data.guard.output.protected == false
    error_message = "Development can be destroyed."
  }
}

run "prod" {
  command = plan

  variables {
    profile    = "prod"
    generation = "b"
    general    = { max = 9 }
    gpu        = { zones = ["europe-west1-b"], count = 2, machine_type = "g2-standard-24", spot = true, driver = "LATEST" }
  }

  assert {
    condition = output.pools == {
      general = { machine_type = "e2-standard-4", spot = false, min = 3, max = 9, gpus = 0 }
      ml      = { machine_type = "n2-standard-8", spot = false, min = 2, max = 10, gpus = 0 }
      gpu     = { machine_type = "g2-standard-24", spot = true, min = 0, max = 8, gpus = 2 }
    }
    error_message = "Production has a node in each zone, and is on demand where nobody says otherwise."
  }

  assert {
    condition     = google_container_node_pool.this["gpu"].node_locations == toset(["europe-west1-b"])
    error_message = "GPUs are only asked for where there are some."
  }

  assert {
    condition     = google_container_cluster.this.deletion_protection && terraform_data.guard.input.protected
    error_message = "Production is protected, by the guard too."
  }

  assert {
    condition     = google_kms_key_ring.this.name == "acme-dev-cluster-b"
    error_message = "Another generation has a key ring of its own."
  }

  assert {
    condition     = contains(google_container_cluster.this.logging_config[0].enable_components, "APISERVER") && google_container_cluster.this.enable_intranode_visibility
    error_message = "Production logs its control plane."
  }
}

run "a_private_ip_endpoint" {
  command = plan

  variables {
    dns_endpoint      = false
    authorized_ranges = { office = "10.1.0.0/16" }
    security_group    = "gke-security-groups@example.com"
  }

  assert {
    condition = alltrue([
      google_container_cluster.this.private_cluster_config[0].enable_private_endpoint,
      google_container_cluster.this.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled,
      !google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].allow_external_traffic,
      one(google_container_cluster.this.master_authorized_networks_config[0].cidr_blocks).cidr_block == "10.1.0.0/16",
      google_container_cluster.this.authenticator_groups_config[0].security_group == "gke-security-groups@example.com",
    ])
    error_message = "Without the DNS name the control plane is reached from inside only."
  }
}

run "nobody_opens_the_control_plane_to_everybody" {
  command = plan

  variables {
    dns_endpoint      = false
    authorized_ranges = { everybody = "0.0.0.0/0" }
  }

  expect_failures = [var.authorized_ranges]
}
