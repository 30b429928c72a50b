# Run by the test suite with a stub provider that serves the real provider's schema.
variables {
  name                   = "acme-test-weu"
  location               = "westeurope"
  resource_group         = "acme-test-weu-rg"
  subnet_id              = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/nodes"
  log_workspace_id       = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs"
  log_private_link_scope = "logs"
  admin_group_ids        = ["00000000-0000-0000-0000-000000000001"]
  tags                   = { project = "acme", environment = "test", team = "risk", cost-centre = "7" }
}

run "dev" {
  variables {
    workloads = { fraud = { namespace = "models", service_account = "fraud" } }
    deployers = { ci = { principal_id = "00000000-0000-0000-0000-000000000002", namespaces = ["models", "jobs"] } }
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.local_account_disabled && azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control[0].azure_rbac_enabled && !azurerm_kubernetes_cluster.this.run_command_enabled
    error_message = "Entra is the only way in, and Azure's roles rule."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled && azurerm_kubernetes_cluster.this.private_dns_zone_id == "System" && length(azurerm_kubernetes_cluster.this.api_server_access_profile) == 0
    error_message = "The API server has a private address only."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.oidc_issuer_enabled && azurerm_kubernetes_cluster.this.workload_identity_enabled
    error_message = "Workload identities work."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.network_profile[0].outbound_type == "userAssignedNATGateway" && azurerm_kubernetes_cluster.this.network_profile[0].dns_service_ip == "10.245.0.10"
    error_message = "The way out is the network's NAT gateway, and DNS is in the range of the services."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Free" && length(azurerm_management_lock.this) == 0
    error_message = "Dev costs nothing for its control plane and is not locked."
  }

  assert {
    condition = output.pools == {
      general = { machine = "Standard_D4s_v5", min = 1, max = 3, spot = false }
      ml      = { machine = "Standard_D4s_v5", min = 0, max = 2, spot = false }
      gpu     = { machine = "Standard_NC4as_T4_v3", min = 0, max = 1, spot = false }
    }
    error_message = "Three small pools."
  }

  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.this["gpu"].min_count == 0 && tolist(azurerm_kubernetes_cluster_node_pool.this["gpu"].node_taints) == tolist(["nvidia.com/gpu=present:NoSchedule"]) && azurerm_kubernetes_cluster_node_pool.this["gpu"].gpu_driver == "Install"
    error_message = "GPU machines come when they are asked for, and only for who asks."
  }

  assert {
    condition     = azurerm_kubernetes_cluster_node_pool.this["gpu"].upgrade_settings[0].max_surge == "0" && azurerm_kubernetes_cluster_node_pool.this["gpu"].upgrade_settings[0].max_unavailable == "1"
    error_message = "An upgrade needs no GPU beyond the quota."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.default_node_pool[0].host_encryption_enabled && alltrue([for pool in azurerm_kubernetes_cluster_node_pool.this : pool.host_encryption_enabled && !pool.node_public_ip_enabled])
    error_message = "Disks and caches of every pool are encrypted on the host, and no node has a public address."
  }

  assert {
    condition     = azurerm_federated_identity_credential.workload["fraud"].subject == "system:serviceaccount:models:fraud" && azurerm_federated_identity_credential.workload["fraud"].issuer == azurerm_kubernetes_cluster.this.oidc_issuer_url
    error_message = "The service account, and no other, acts as the workload."
  }

  assert {
    condition     = azurerm_role_assignment.control_plane_subnet.scope == var.subnet_id && azurerm_role_assignment.control_plane_kubelet.scope == azurerm_user_assigned_identity.kubelet.id
    error_message = "The control plane's roles reach no further than the subnet and the kubelet's identity."
  }

  assert {
    condition     = keys(azurerm_role_assignment.writer) == ["ci/jobs", "ci/models"] && endswith(azurerm_role_assignment.writer["ci/models"].scope, "/namespaces/models")
    error_message = "A deployer writes in its namespaces."
  }

  assert {
    condition     = toset(azurerm_monitor_diagnostic_setting.control_plane.enabled_log[*].category) == toset(["kube-audit-admin", "guard"])
    error_message = "Who changed what and who signed in is kept."
  }

  assert {
    condition     = azurerm_monitor_data_collection_endpoint.this.public_network_access_enabled == false && azurerm_kubernetes_cluster.this.oms_agent[0].msi_auth_for_monitoring_enabled
    error_message = "Logs leave by the private link, under an identity."
  }
}

run "prod" {
  command = plan

  variables {
    profile                = "prod"
    kubernetes_version     = "1.33"
    disk_encryption_set_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/d"
    general                = { min = 12 }
    ml                     = { spot = true, taints = ["training=true:NoSchedule"], labels = { disk = "fast" } }
    gpu                    = { machine = "Standard_NC24ads_A100_v4", max = 8, spot = true, zones = ["2"] }
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.sku_tier == "Standard" && azurerm_kubernetes_cluster.this.cost_analysis_enabled && toset(azurerm_kubernetes_cluster.this.default_node_pool[0].zones) == toset(["1", "2", "3"])
    error_message = "Prod has an SLA, three zones and cost by namespace."
  }

  assert {
    condition     = length(azurerm_management_lock.this) == 1 && azurerm_management_lock.this[0].lock_level == "CanNotDelete"
    error_message = "Prod is protected from deletion."
  }

  assert {
    condition = output.pools == {
      general = { machine = "Standard_D4s_v5", min = 12, max = 12, spot = false }
      ml      = { machine = "Standard_D8s_v5", min = 1, max = 10, spot = true }
      gpu     = { machine = "Standard_NC24ads_A100_v4", min = 0, max = 8, spot = true }
    }
    error_message = "What is asked for wins over the profile, and a minimum raises the maximum."
  }

  assert {
    condition = alltrue([for pool in azurerm_kubernetes_cluster_node_pool.this :
      pool.priority == "Spot" && pool.eviction_policy == "Delete" && pool.spot_max_price == -1 && length(pool.upgrade_settings) == 0 &&
      contains(pool.node_taints, "kubernetes.azure.com/scalesetpriority=spot:NoSchedule") && pool.node_labels["kubernetes.azure.com/scalesetpriority"] == "spot"
    ])
    error_message = "Spot pools have the taint and the label that AKS gives them, and no surge, which it refuses."
  }

  assert {
    condition     = toset(azurerm_kubernetes_cluster_node_pool.this["gpu"].zones) == toset(["2"]) && contains(azurerm_kubernetes_cluster_node_pool.this["ml"].node_taints, "training=true:NoSchedule") && azurerm_kubernetes_cluster_node_pool.this["ml"].node_labels.disk == "fast"
    error_message = "Zones, taints and labels of the caller are there."
  }

  assert {
    condition     = azurerm_kubernetes_cluster.this.kubernetes_version == "1.33" && azurerm_kubernetes_cluster_node_pool.this["gpu"].orchestrator_version == "1.33"
    error_message = "Control plane and pools move together."
  }
}

run "public_for_some" {
  command = plan

  variables {
    private             = false
    authorized_ranges   = ["203.0.113.0/24"]
    deletion_protection = true
  }

  assert {
    condition     = one(azurerm_kubernetes_cluster.this.api_server_access_profile[0].authorized_ip_ranges) == "203.0.113.0/24" && !azurerm_kubernetes_cluster.this.private_cluster_enabled
    error_message = "A public API server answers those who are named."
  }

  assert {
    condition     = length(azurerm_management_lock.this) == 1
    error_message = "Dev may be protected too."
  }
}

run "a_public_cluster_for_everybody_is_refused" {
  command = plan

  variables {
    private           = false
    authorized_ranges = ["0.0.0.0/0"]
  }

  expect_failures = [var.authorized_ranges]
}

run "a_public_cluster_for_nobody_named_is_refused" {
  command = plan

  variables {
    private = false
  }

  expect_failures = [var.authorized_ranges]
}

run "what_cannot_work_is_refused" {
  command = plan

  variables {
    kubernetes_version = "1.33.2"
    zones              = ["4"]
    general            = { min = 0 }
    ml                 = { min = 3, max = 2, taints = ["oops"] }
    gpu                = { machine = "Standard_D4s_v5", max = 0, taints = ["oops"] }
    admin_group_ids    = []
    deployers          = { ci = { principal_id = "x", namespaces = [] } }
    workloads          = { "Not A Name" = { namespace = "models", service_account = "x" } }
    pod_range          = "10.244.0.0"
    service_range      = "10.245.0.0/30"
  }

  expect_failures = [
    var.kubernetes_version, var.zones, var.general, var.ml, var.gpu, var.admin_group_ids, var.deployers, var.workloads, var.pod_range, var.service_range,
  ]
}
