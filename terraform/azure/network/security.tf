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

# Training jobs are started from outside the subnet by nobody: their nodes talk to each other and ask for everything else.
resource "azurerm_network_security_rule" "jobs" {
  for_each = {
    each-other    = { priority = 100, from = local.ranges.jobs, says = "Nodes of a distributed job reach each other." }
    load-balancer = { priority = 110, from = "AzureLoadBalancer", says = "Azure's load balancer asks the nodes of a cluster whether they are well." }
  }

  name                        = each.key
  description                 = each.value.says
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this["jobs"].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = each.value.from
  destination_port_range      = "*"
  destination_address_prefix  = local.ranges.jobs
}

# Azure's own rules would let in the whole network, and whatever is connected to it.
resource "azurerm_network_security_rule" "nobody_else" {
  for_each = { endpoints = "the private endpoints", jobs = "the nodes of a job" }

  name                        = "nobody-else"
  description                 = "Nobody else reaches ${each.value}."
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.this[each.key].name
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
