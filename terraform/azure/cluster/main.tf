locals {
  tags      = merge(var.tags, { managed-by = "mcml" })
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  zones     = var.zones == null ? (local.prod ? toset(["1", "2", "3"]) : toset([])) : var.zones
}

resource "azurerm_kubernetes_cluster" "this" {
  # checkov:skip=CKV_AZURE_226: an ephemeral disk must fit the machine's cache, which differs by machine; managed disks are encrypted and fit all
  # checkov:skip=CKV_AZURE_227: host encryption is on unless the caller's machine cannot do it
  # checkov:skip=CKV_AZURE_232: the general pool carries both by design: three pools, not four
  name                = "${var.name}-aks"
  location            = var.location
  resource_group_name = var.resource_group
  node_resource_group = "${var.name}-aks-nodes"
  dns_prefix          = var.name
  sku_tier            = local.prod ? "Standard" : "Free"
  tags                = local.tags

  kubernetes_version        = var.kubernetes_version
  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"

  # Entra is the only way in, and Azure's roles say what each may do: there are no certificates of the cluster's own that could leak.
  local_account_disabled            = true
  role_based_access_control_enabled = true
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  run_command_enabled               = false

  private_cluster_enabled             = var.private
  private_cluster_public_fqdn_enabled = var.private && var.private_name_in_public_dns
  private_dns_zone_id                 = !var.private ? null : var.private_name_in_public_dns ? "None" : "System"

  azure_policy_enabled         = true
  cost_analysis_enabled        = local.prod
  image_cleaner_enabled        = true
  image_cleaner_interval_hours = 48
  disk_encryption_set_id       = var.disk_encryption_set_id

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = var.admin_group_ids
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.control_plane.id]
  }

  kubelet_identity {
    user_assigned_identity_id = azurerm_user_assigned_identity.kubelet.id
    client_id                 = azurerm_user_assigned_identity.kubelet.client_id
    object_id                 = azurerm_user_assigned_identity.kubelet.principal_id
  }

  dynamic "api_server_access_profile" {
    for_each = var.private ? [] : [var.authorized_ranges]

    content {
      authorized_ip_ranges = api_server_access_profile.value
    }
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    load_balancer_sku   = "standard"
    outbound_type       = "userAssignedNATGateway"
    pod_cidr            = var.pod_range
    service_cidr        = var.service_range
    dns_service_ip      = cidrhost(var.service_range, 10)
  }

  default_node_pool {
    name                        = "general"
    vm_size                     = local.general.machine
    orchestrator_version        = var.kubernetes_version
    type                        = "VirtualMachineScaleSets"
    auto_scaling_enabled        = true
    min_count                   = local.general.min
    max_count                   = local.general.max
    max_pods                    = 110
    os_disk_size_gb             = var.general.disk_gb
    host_encryption_enabled     = var.general.host_encryption
    node_public_ip_enabled      = false
    vnet_subnet_id              = var.subnet_id
    zones                       = local.zones
    node_labels                 = { pool = "general" }
    temporary_name_for_rotation = "generaltmp"
    tags                        = local.tags

    upgrade_settings {
      max_surge                = "33%"
      drain_timeout_in_minutes = 30
    }
  }

  auto_scaler_profile {
    balance_similar_node_groups = true
    expander                    = "least-waste"
    scale_down_unneeded         = "10m"
  }

  key_vault_secrets_provider {
    secret_rotation_enabled = true
  }

  oms_agent {
    log_analytics_workspace_id      = var.log_workspace_id
    msi_auth_for_monitoring_enabled = true
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Sunday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
    duration    = 4
  }

  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Saturday"
    start_time  = "02:00"
    utc_offset  = "+00:00"
    duration    = 4
  }

  depends_on = [azurerm_role_assignment.control_plane_subnet, azurerm_role_assignment.control_plane_kubelet]
}

resource "azurerm_management_lock" "this" {
  count = local.protected ? 1 : 0

  name       = "${var.name}-aks"
  scope      = azurerm_kubernetes_cluster.this.id
  lock_level = "CanNotDelete"
  notes      = "Deletion protection of the cluster; set deletion_protection = false to lift it."

  # Made last and removed first: a lock on the cluster is also one on its pools, roles and settings.
  depends_on = [
    azurerm_kubernetes_cluster_node_pool.this,
    azurerm_monitor_data_collection_rule_association.endpoint,
    azurerm_monitor_data_collection_rule_association.rule,
    azurerm_monitor_diagnostic_setting.control_plane,
    azurerm_role_assignment.deployer,
    azurerm_role_assignment.writer,
  ]
}
