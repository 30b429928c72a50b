locals {
  # `kube-audit-admin` is the audit log without reads; `guard` says who signed in.
  control_plane_logs = concat(
    ["kube-audit-admin", "guard"],
    local.prod ? ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "cluster-autoscaler"] : [],
  )
}

resource "azurerm_monitor_diagnostic_setting" "control_plane" {
  name                           = "control-plane"
  target_resource_id             = azurerm_kubernetes_cluster.this.id
  log_analytics_workspace_id     = var.log_workspace_id
  log_analytics_destination_type = "Dedicated"

  dynamic "enabled_log" {
    for_each = local.control_plane_logs

    content {
      category = enabled_log.value
    }
  }
}

# Where the agents on the nodes ask what to collect, by the private link scope of the log workspace.
resource "azurerm_monitor_data_collection_endpoint" "this" {
  name                          = "${var.name}-aks"
  location                      = var.location
  resource_group_name           = var.resource_group
  kind                          = "Linux"
  public_network_access_enabled = false
  tags                          = local.tags
}

resource "azurerm_monitor_private_link_scoped_service" "this" {
  name                = "${var.name}-aks"
  resource_group_name = var.resource_group
  scope_name          = var.log_private_link_scope
  linked_resource_id  = azurerm_monitor_data_collection_endpoint.this.id
}

resource "azurerm_monitor_data_collection_rule" "this" {
  name                = "${var.name}-aks"
  location            = var.location
  resource_group_name = var.resource_group
  kind                = "Linux"
  tags                = local.tags

  data_sources {
    extension {
      name           = "ContainerInsightsExtension"
      extension_name = "ContainerInsights"
      streams        = ["Microsoft-ContainerInsights-Group-Default"]
      extension_json = jsonencode({
        dataCollectionSettings = {
          interval               = local.prod ? "1m" : "5m"
          namespaceFilteringMode = "Off"
          enableContainerLogV2   = true
        }
      })
    }
  }

  destinations {
    log_analytics {
      name                  = "logs"
      workspace_resource_id = var.log_workspace_id
    }
  }

  data_flow {
    streams      = ["Microsoft-ContainerInsights-Group-Default"]
    destinations = ["logs"]
  }
}

resource "azurerm_monitor_data_collection_rule_association" "rule" {
  name                    = "ContainerInsightsExtension"
  target_resource_id      = azurerm_kubernetes_cluster.this.id
  data_collection_rule_id = azurerm_monitor_data_collection_rule.this.id
}

resource "azurerm_monitor_data_collection_rule_association" "endpoint" {
  name                        = "configurationAccessEndpoint" # Azure takes no other name
  target_resource_id          = azurerm_kubernetes_cluster.this.id
  data_collection_endpoint_id = azurerm_monitor_data_collection_endpoint.this.id
}
