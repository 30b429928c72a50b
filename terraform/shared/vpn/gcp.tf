locals {
  gcp_tunnels = merge(
    { for key, tunnel in local.aws_tunnels : "aws-${tunnel.interface}-${tunnel.number}" => {
      interface      = tunnel.interface
      peer           = "aws"
      peer_interface = 2 * tunnel.interface + tunnel.number - 1
      peer_asn       = var.aws.asn
      own_address    = cidrhost(tunnel.cidr, 2)
      peer_address   = cidrhost(tunnel.cidr, 1)
    } if tunnel.peer == "gcp" },
    { for number, cidr in local.gcp_azure_cidrs : "azure-${number}" => {
      interface      = number
      peer           = "azure"
      peer_interface = number
      peer_asn       = var.azure.asn
      own_address    = cidrhost(cidr, 1)
      peer_address   = cidrhost(cidr, 2)
    } },
  )

  peer_addresses = {
    aws   = [for key in ["gcp-0-1", "gcp-0-2", "gcp-1-1", "gcp-1-2"] : local.ends[key].address]
    azure = azurerm_public_ip.this[*].ip_address
  }
}

resource "google_compute_ha_vpn_gateway" "this" {
  project = var.gcp.project_id
  region  = var.gcp.region
  name    = "${var.name}-vpn"
  network = var.gcp.network_id
  labels  = local.tags

  vpn_interfaces {
    id = 0
  }

  vpn_interfaces {
    id = 1
  }
}

resource "google_compute_router" "this" {
  project = var.gcp.project_id
  region  = var.gcp.region
  name    = "${var.name}-vpn"
  network = var.gcp.network_id

  bgp {
    asn = var.gcp.asn
  }
}

resource "google_compute_external_vpn_gateway" "this" {
  for_each = { aws = "FOUR_IPS_REDUNDANCY", azure = "TWO_IPS_REDUNDANCY" }

  project         = var.gcp.project_id
  name            = "${var.name}-${each.key}"
  redundancy_type = each.value
  labels          = local.tags

  dynamic "interface" {
    for_each = local.peer_addresses[each.key]

    content {
      id         = interface.key
      ip_address = interface.value
    }
  }
}

resource "google_compute_vpn_tunnel" "this" {
  for_each = local.gcp_tunnels

  project                         = var.gcp.project_id
  region                          = var.gcp.region
  name                            = "${var.name}-${each.key}"
  router                          = google_compute_router.this.id
  vpn_gateway                     = google_compute_ha_vpn_gateway.this.id
  vpn_gateway_interface           = each.value.interface
  peer_external_gateway           = google_compute_external_vpn_gateway.this[each.value.peer].id
  peer_external_gateway_interface = each.value.peer_interface
  ike_version                     = 2
  shared_secret                   = each.value.peer == "aws" ? local.ends[replace(each.key, "aws", "gcp")].secret : var.gcp_azure_secret
  labels                          = local.tags
}

resource "google_compute_router_interface" "this" {
  for_each = local.gcp_tunnels

  project    = var.gcp.project_id
  region     = var.gcp.region
  router     = google_compute_router.this.name
  name       = "${var.name}-${each.key}"
  vpn_tunnel = google_compute_vpn_tunnel.this[each.key].name
  ip_range   = "${each.value.own_address}/30"
}

resource "google_compute_router_peer" "this" {
  for_each = local.gcp_tunnels

  project         = var.gcp.project_id
  region          = var.gcp.region
  router          = google_compute_router.this.name
  name            = "${var.name}-${each.key}"
  interface       = google_compute_router_interface.this[each.key].name
  peer_asn        = each.value.peer_asn
  peer_ip_address = each.value.peer_address
}
