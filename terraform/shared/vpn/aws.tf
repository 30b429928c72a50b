locals {
  customers = {
    gcp-0   = { address = google_compute_ha_vpn_gateway.this.vpn_interfaces[0].ip_address, asn = var.gcp.asn }
    gcp-1   = { address = google_compute_ha_vpn_gateway.this.vpn_interfaces[1].ip_address, asn = var.gcp.asn }
    azure-0 = { address = azurerm_public_ip.this[0].ip_address, asn = var.azure.asn }
    azure-1 = { address = azurerm_public_ip.this[1].ip_address, asn = var.azure.asn }
  }

  # What the other side needs of each tunnel; the secret is AWS's.
  ends = { for key, tunnel in local.aws_tunnels : key => {
    address = tunnel.number == 1 ? aws_vpn_connection.this[tunnel.connection].tunnel1_address : aws_vpn_connection.this[tunnel.connection].tunnel2_address
    secret  = tunnel.number == 1 ? aws_vpn_connection.this[tunnel.connection].tunnel1_preshared_key : aws_vpn_connection.this[tunnel.connection].tunnel2_preshared_key
  } }
}

resource "aws_vpn_gateway" "this" {
  vpc_id          = var.aws.vpc_id
  amazon_side_asn = tostring(var.aws.asn)
  tags            = merge(local.tags, { Name = "${var.name}-vpn" })
}

resource "aws_vpn_gateway_route_propagation" "this" {
  count = length(var.aws.route_table_ids)

  vpn_gateway_id = aws_vpn_gateway.this.id
  route_table_id = var.aws.route_table_ids[count.index]
}

resource "aws_customer_gateway" "this" {
  for_each = local.customers

  type       = "ipsec.1"
  ip_address = each.value.address
  bgp_asn    = tostring(each.value.asn)
  tags       = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpn_connection" "this" {
  for_each = aws_customer_gateway.this

  type                = "ipsec.1"
  vpn_gateway_id      = aws_vpn_gateway.this.id
  customer_gateway_id = each.value.id
  tags                = merge(local.tags, { Name = "${var.name}-${each.key}" })

  tunnel1_inside_cidr                  = local.aws_tunnels["${each.key}-1"].cidr
  tunnel1_ike_versions                 = ["ikev2"]
  tunnel1_phase1_encryption_algorithms = ["AES256-GCM-16"]
  tunnel1_phase1_integrity_algorithms  = ["SHA2-384"]
  tunnel1_phase1_dh_group_numbers      = [20]
  tunnel1_phase2_encryption_algorithms = ["AES256-GCM-16"]
  tunnel1_phase2_integrity_algorithms  = ["SHA2-384"]
  tunnel1_phase2_dh_group_numbers      = [20]

  tunnel2_inside_cidr                  = local.aws_tunnels["${each.key}-2"].cidr
  tunnel2_ike_versions                 = ["ikev2"]
  tunnel2_phase1_encryption_algorithms = ["AES256-GCM-16"]
  tunnel2_phase1_integrity_algorithms  = ["SHA2-384"]
  tunnel2_phase1_dh_group_numbers      = [20]
  tunnel2_phase2_encryption_algorithms = ["AES256-GCM-16"]
  tunnel2_phase2_integrity_algorithms  = ["SHA2-384"]
  tunnel2_phase2_dh_group_numbers      = [20]
}
