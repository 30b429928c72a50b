locals {
  azure_tunnels = merge(
    { for key, tunnel in local.aws_tunnels : "aws-${tunnel.interface}-${tunnel.number}" => {
      instance     = tunnel.interface
      peer_asn     = var.aws.asn
      own_address  = cidrhost(tunnel.cidr, 2)
      peer_address = cidrhost(tunnel.cidr, 1)
    } if tunnel.peer == "azure" },
    { for number, cidr in local.gcp_azure_cidrs : "gcp-${number}" => {
      instance     = number
      peer_asn     = var.gcp.asn
      own_address  = cidrhost(cidr, 2)
      peer_address = cidrhost(cidr, 1)
    } },
  )

  own_addresses = [for instance in [0, 1] : [for tunnel in values(local.azure_tunnels) : tunnel.own_address if tunnel.instance == instance]]
}

resource "azurerm_public_ip" "this" {
  count = 2

  name                = "${var.name}-vpn-${count.index}"
  resource_group_name = var.azure.resource_group
  location            = var.azure.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = ["1", "2", "3"]
  tags                = local.tags
}

resource "azurerm_virtual_network_gateway" "this" {
  name                = "${var.name}-vpn"
  resource_group_name = var.azure.resource_group
  location            = var.azure.location
  type                = "Vpn"
  vpn_type            = "RouteBased"
  sku                 = { dev = "VpnGw1AZ", prod = "VpnGw2AZ" }[var.profile]
  generation          = { dev = "Generation1", prod = "Generation2" }[var.profile]
  active_active       = true
  enable_bgp          = true
  tags                = local.tags

  dynamic "ip_configuration" {
    for_each = azurerm_public_ip.this

    content {
      name                 = "instance-${ip_configuration.key}"
      public_ip_address_id = ip_configuration.value.id
      subnet_id            = var.azure.gateway_subnet_id
    }
  }

  bgp_settings {
    asn = var.azure.asn

    dynamic "peering_addresses" {
      for_each = local.own_addresses

      content {
        ip_configuration_name = "instance-${peering_addresses.key}"
        apipa_addresses       = peering_addresses.value
      }
    }
  }
}

resource "azurerm_local_network_gateway" "this" {
  for_each = local.azure_tunnels

  name                = "${var.name}-${each.key}"
  resource_group_name = var.azure.resource_group
  location            = var.azure.location
  gateway_address     = startswith(each.key, "aws") ? local.ends[replace(each.key, "aws", "azure")].address : google_compute_ha_vpn_gateway.this.vpn_interfaces[each.value.instance].ip_address
  tags                = local.tags

  bgp_settings {
    asn                 = each.value.peer_asn
    bgp_peering_address = each.value.peer_address
  }
}

resource "azurerm_virtual_network_gateway_connection" "this" {
  for_each = local.azure_tunnels

  name                       = "${var.name}-${each.key}"
  resource_group_name        = var.azure.resource_group
  location                   = var.azure.location
  type                       = "IPsec"
  connection_protocol        = "IKEv2"
  virtual_network_gateway_id = azurerm_virtual_network_gateway.this.id
  local_network_gateway_id   = azurerm_local_network_gateway.this[each.key].id
  shared_key                 = startswith(each.key, "aws") ? local.ends[replace(each.key, "aws", "azure")].secret : var.gcp_azure_secret
  enable_bgp                 = true
  tags                       = local.tags

  # Azure wants an address of both instances; the other side knows one of them, so the other instance's is not used.
  custom_bgp_addresses {
    primary   = each.value.instance == 0 ? each.value.own_address : local.own_addresses[0][0]
    secondary = each.value.instance == 1 ? each.value.own_address : local.own_addresses[1][0]
  }

  ipsec_policy {
    ike_encryption   = "GCMAES256"
    ike_integrity    = "SHA384"
    dh_group         = "ECP384"
    ipsec_encryption = "GCMAES256"
    ipsec_integrity  = "GCMAES256"
    pfs_group        = "ECP384"
  }
}
