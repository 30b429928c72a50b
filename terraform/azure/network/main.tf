locals {
  tags  = merge(var.tags, { managed-by = "mcml" })
  prod  = var.profile == "prod"
  nat   = coalesce(var.nat_addresses, local.prod ? 2 : 1)
  zones = var.nat_zone == null ? null : [var.nat_zone]

  # Pods have addresses of their own (overlay), so the nodes need one address each: a sixteenth of the network is many.
  ranges = {
    nodes     = cidrsubnet(var.address_space, 4, 0)
    endpoints = cidrsubnet(var.address_space, 6, 4)
    jobs      = cidrsubnet(var.address_space, 4, 2)
    gateway   = cidrsubnet(var.address_space, 7, 10)
  }
}

resource "azurerm_resource_group" "this" {
  name     = "${var.name}-rg"
  location = var.location
  tags     = local.tags
}

resource "azurerm_virtual_network" "this" {
  name                = "${var.name}-vnet"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  address_space       = [var.address_space]
  dns_servers         = var.dns_servers
  tags                = local.tags

  dynamic "ddos_protection_plan" {
    for_each = var.ddos_protection_plan_id[*]

    content {
      id     = ddos_protection_plan.value
      enable = true
    }
  }
}

# Nothing leaves a subnet but through the NAT gateway or a private endpoint: Azure's default outbound access is off.
resource "azurerm_subnet" "this" {
  # checkov:skip=CKV2_AZURE_31: every one has a security group, see security.tf; the scan does not follow for_each
  for_each = toset(["nodes", "endpoints", "jobs"])

  name                              = each.key
  resource_group_name               = azurerm_resource_group.this.name
  virtual_network_name              = azurerm_virtual_network.this.name
  address_prefixes                  = [local.ranges[each.key]]
  default_outbound_access_enabled   = false
  private_endpoint_network_policies = each.key == "endpoints" ? "Enabled" : "Disabled"
}

resource "azurerm_subnet" "gateway" {
  count = var.gateway_subnet ? 1 : 0

  name                 = "GatewaySubnet"
  resource_group_name  = azurerm_resource_group.this.name
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [local.ranges.gateway]
}

resource "azurerm_public_ip" "nat" {
  count = local.nat

  name                = "${var.name}-nat-${count.index}"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = local.zones
  tags                = local.tags
}

resource "azurerm_nat_gateway" "this" {
  name                    = "${var.name}-nat"
  location                = var.location
  resource_group_name     = azurerm_resource_group.this.name
  sku_name                = "Standard"
  idle_timeout_in_minutes = 10
  zones                   = local.zones
  tags                    = local.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count = local.nat

  nat_gateway_id       = azurerm_nat_gateway.this.id
  public_ip_address_id = azurerm_public_ip.nat[count.index].id
}

resource "azurerm_subnet_nat_gateway_association" "this" {
  for_each = toset(["nodes", "jobs"])

  subnet_id      = azurerm_subnet.this[each.key].id
  nat_gateway_id = azurerm_nat_gateway.this.id
}
