locals {
  sizes = {
    dev = {
      general = { machine = "Standard_D4s_v5", min = 1, max = 3 }
      ml      = { machine = "Standard_D4s_v5", min = 0, max = 2 }
      gpu     = { machine = "Standard_NC4as_T4_v3", min = 0, max = 1 }
    }
    prod = {
      general = { machine = "Standard_D4s_v5", min = 3, max = 10 }
      ml      = { machine = "Standard_D8s_v5", min = 1, max = 10 }
      gpu     = { machine = "Standard_NC8as_T4_v3", min = 0, max = 4 }
    }
  }[var.profile]

  # A minimum above the profile's maximum raises that, and a maximum below its minimum lowers this.
  general = {
    machine = coalesce(var.general.machine, local.sizes.general.machine)
    min     = coalesce(var.general.min, min(local.sizes.general.min, coalesce(var.general.max, local.sizes.general.max)))
    max     = coalesce(var.general.max, max(local.sizes.general.max, coalesce(var.general.min, 0)))
  }

  # AKS puts these on spot nodes by itself; left out, every plan would want to take them off.
  spot_taint  = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
  spot_labels = { "kubernetes.azure.com/scalesetpriority" = "spot" }

  pools = {
    ml = {
      machine         = coalesce(var.ml.machine, local.sizes.ml.machine)
      min             = coalesce(var.ml.min, min(local.sizes.ml.min, coalesce(var.ml.max, local.sizes.ml.max)))
      max             = coalesce(var.ml.max, max(local.sizes.ml.max, coalesce(var.ml.min, 0)))
      disk_gb         = var.ml.disk_gb
      spot            = var.ml.spot
      zones           = local.zones
      labels          = var.ml.labels
      taints          = var.ml.taints
      host_encryption = var.ml.host_encryption
      gpu             = false
    }
    gpu = {
      machine         = coalesce(var.gpu.machine, local.sizes.gpu.machine)
      min             = local.sizes.gpu.min
      max             = coalesce(var.gpu.max, local.sizes.gpu.max)
      disk_gb         = var.gpu.disk_gb
      spot            = var.gpu.spot
      zones           = var.gpu.zones
      labels          = var.gpu.labels
      taints          = concat(["nvidia.com/gpu=present:NoSchedule"], var.gpu.taints)
      host_encryption = var.gpu.host_encryption
      gpu             = true
    }
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "this" {
  # checkov:skip=CKV_AZURE_227: host encryption is on unless the caller's machine cannot do it
  for_each = local.pools

  name                    = each.key
  kubernetes_cluster_id   = azurerm_kubernetes_cluster.this.id
  mode                    = "User"
  vm_size                 = each.value.machine
  orchestrator_version    = var.kubernetes_version
  auto_scaling_enabled    = true
  min_count               = each.value.min
  max_count               = each.value.max
  max_pods                = 110
  os_disk_size_gb         = each.value.disk_gb
  host_encryption_enabled = each.value.host_encryption
  node_public_ip_enabled  = false
  vnet_subnet_id          = var.subnet_id
  zones                   = each.value.zones
  gpu_driver              = each.value.gpu ? "Install" : null
  tags                    = local.tags

  priority        = each.value.spot ? "Spot" : "Regular"
  eviction_policy = each.value.spot ? "Delete" : null
  spot_max_price  = each.value.spot ? -1 : null
  node_taints     = concat(each.value.taints, each.value.spot ? [local.spot_taint] : [])
  node_labels     = merge(each.value.labels, { pool = each.key }, each.value.spot ? local.spot_labels : {})

  temporary_name_for_rotation = "${each.key}tmp"

  # Spot pools take no surge; GPU machines are often all that the quota allows, so these are replaced one by one.
  dynamic "upgrade_settings" {
    for_each = each.value.spot ? [] : [each.value.gpu]

    content {
      max_surge                = upgrade_settings.value ? "0" : "33%"
      max_unavailable          = upgrade_settings.value ? "1" : null
      drain_timeout_in_minutes = 30
    }
  }
}
