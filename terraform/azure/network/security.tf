locals {
  # What the private endpoints answer on: HTTPS, Azure SQL (by its proxy), Azure Managed Redis.
  endpoint_ports   = ["443", "1433", "10000"]
  endpoint_clients = concat([local.ranges.nodes, local.ranges.jobs], var.trusted_ranges)
}

resource "azurerm_network_security_group" "this" {
  for_each = azurerm_subnet.this

  name                = "${var.name}-${each.key}-nsg"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = local.tags
}

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = azurerm_subnet.this

  subnet_id                 = each.value.id
  network_security_group_id = azurerm_network_security_group.this[each.key].id
}

resource "azurerm_network_security_rule" "endpoints_clients" {
  name                        = "clients"
  description                 = "Nodes, jobs and trusted networks reach the private endpoints."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["endpoints"].name
  priority                    = 100
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefixes     = local.endpoint_clients
  destination_port_ranges     = local.endpoint_ports
  destination_address_prefix  = local.ranges.endpoints
}

# Azure's own rules would let in the whole network, and whatever is connected to it.
resource "azurerm_network_security_rule" "endpoints_nobody_else" {
  name                        = "nobody-else"
  description                 = "Nobody else reaches the private endpoints."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["endpoints"].name
  priority                    = 4000
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "*"
  destination_port_range      = "*"
  destination_address_prefix  = "*"
}

# Training jobs are started from outside the subnet by nobody: their nodes talk to each other and ask for everything else.
resource "azurerm_network_security_rule" "jobs_each_other" {
  name                        = "each-other"
  description                 = "Nodes of a distributed job reach each other."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["jobs"].name
  priority                    = 100
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = local.ranges.jobs
  destination_port_range      = "*"
  destination_address_prefix  = local.ranges.jobs
}

resource "azurerm_network_security_rule" "jobs_load_balancer" {
  name                        = "load-balancer"
  description                 = "Azure's load balancer asks the nodes of a cluster whether they are well."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["jobs"].name
  priority                    = 110
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "AzureLoadBalancer"
  destination_port_range      = "*"
  destination_address_prefix  = local.ranges.jobs
}

resource "azurerm_network_security_rule" "jobs_nobody_else" {
  name                        = "nobody-else"
  description                 = "Nobody else reaches the nodes of a job."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["jobs"].name
  priority                    = 4000
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "*"
  destination_port_range      = "*"
  destination_address_prefix  = "*"
}

# Without it the nodes answer the network and Azure's load balancer, and nobody on the internet.
resource "azurerm_network_security_rule" "nodes_public_ingress" {
  count = var.public_ingress == null ? 0 : 1

  name                        = "public-ingress"
  description                 = "A public load balancer's ports."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["nodes"].name
  priority                    = 100
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefixes     = var.public_ingress.sources
  destination_port_ranges     = [for port in var.public_ingress.ports : tostring(port)]
  destination_address_prefix  = "*"
}

resource "azurerm_network_watcher_flow_log" "this" {
  # checkov:skip=CKV_AZURE_12: 90 days unless the caller says otherwise
  count = var.flow_logs == null ? 0 : 1

  name                 = "${var.name}-flows"
  location             = var.location
  resource_group_name  = var.flow_logs.watcher_resource_group
  network_watcher_name = var.flow_logs.network_watcher
  target_resource_id   = azurerm_virtual_network.this.id
  storage_account_id   = var.flow_logs.storage_account_id
  enabled              = true
  version              = 2
  tags                 = local.tags

  retention_policy {
    enabled = true
    days    = var.flow_logs.retention_days
  }

  traffic_analytics {
    enabled               = true
    interval_in_minutes   = 60
    workspace_id          = azurerm_log_analytics_workspace.this.workspace_id
    workspace_region      = var.location
    workspace_resource_id = azurerm_log_analytics_workspace.this.id
  }
}
