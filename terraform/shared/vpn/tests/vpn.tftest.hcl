variables {
  name             = "acme-prod"
  tags             = { project = "acme", environment = "prod", team = "ml", cost-centre = "4711" }
  gcp_azure_secret = "0123456789abcdef0123456789abcdef"
  aws              = { vpc_id = "vpc-1", route_table_ids = ["rtb-1", "rtb-2"] }
  gcp              = { project_id = "acme-123", region = "europe-west1", network_id = "projects/acme-123/global/networks/acme" }
  azure            = { resource_group = "acme", location = "westeurope", gateway_subnet_id = "/x/subnets/GatewaySubnet" }
}

run "mesh" {
  assert {
    condition     = length(aws_vpn_connection.this) == 4 && length(google_compute_vpn_tunnel.this) == 6 && length(azurerm_virtual_network_gateway_connection.this) == 6
    error_message = "AWS has four connections of two tunnels; Google and Azure six tunnels each."
  }

  assert {
    condition     = length(output.addresses.aws) == 8 && length(aws_vpn_gateway_route_propagation.this) == 2
    error_message = "Eight ends at AWS, whose route tables learn the way."
  }

  assert {
    condition     = google_compute_vpn_tunnel.this["aws-1-2"].peer_external_gateway_interface == 3 && google_compute_vpn_tunnel.this["aws-1-2"].vpn_gateway_interface == 1 && google_compute_vpn_tunnel.this["aws-1-2"].shared_secret == aws_vpn_connection.this["gcp-1"].tunnel2_preshared_key
    error_message = "Google's tunnel and AWS's end of it share a secret."
  }

  assert {
    condition     = google_compute_external_vpn_gateway.this["aws"].interface[3].ip_address == aws_vpn_connection.this["gcp-1"].tunnel2_address
    error_message = "Google knows AWS's end by its address."
  }

  assert {
    condition     = google_compute_router_interface.this["aws-1-2"].ip_range == "169.254.20.14/30" && google_compute_router_peer.this["aws-1-2"].peer_ip_address == "169.254.20.13" && google_compute_router_peer.this["aws-1-2"].peer_asn == 64512
    error_message = "AWS has the first address inside, Google the second."
  }

  assert {
    condition     = aws_vpn_connection.this["gcp-1"].tunnel2_inside_cidr == "169.254.20.12/30" && aws_customer_gateway.this["gcp-1"].ip_address == google_compute_ha_vpn_gateway.this.vpn_interfaces[1].ip_address
    error_message = "AWS agrees with that."
  }

  assert {
    condition     = azurerm_local_network_gateway.this["aws-1-2"].gateway_address == aws_vpn_connection.this["azure-1"].tunnel2_address && azurerm_virtual_network_gateway_connection.this["aws-1-2"].shared_key == aws_vpn_connection.this["azure-1"].tunnel2_preshared_key
    error_message = "Azure's connection and AWS's end of it share address and secret."
  }

  assert {
    condition     = azurerm_virtual_network_gateway_connection.this["aws-1-2"].custom_bgp_addresses[0].secondary == "169.254.22.6" && azurerm_local_network_gateway.this["aws-1-2"].bgp_settings[0].bgp_peering_address == "169.254.22.5"
    error_message = "Azure's second instance speaks BGP inside that tunnel."
  }

  assert {
    condition     = google_compute_router_interface.this["azure-0"].ip_range == "169.254.21.9/30" && azurerm_virtual_network_gateway_connection.this["gcp-0"].custom_bgp_addresses[0].primary == "169.254.21.10" && google_compute_router_peer.this["azure-0"].peer_ip_address == "169.254.21.10"
    error_message = "Google and Azure agree on the addresses between them."
  }

  assert {
    condition     = google_compute_vpn_tunnel.this["azure-0"].shared_secret == var.gcp_azure_secret && azurerm_virtual_network_gateway_connection.this["gcp-0"].shared_key == var.gcp_azure_secret
    error_message = "Google and Azure share the secret that was given."
  }

  assert {
    condition     = alltrue([for one in azurerm_virtual_network_gateway.this.bgp_settings[0].peering_addresses : length(distinct(one.apipa_addresses)) == 3])
    error_message = "Each of Azure's instances has an address in each of its three tunnels."
  }

  assert {
    condition     = alltrue([for one in aws_vpn_connection.this : one.tunnel1_ike_versions == toset(["ikev2"]) && one.tunnel2_phase2_encryption_algorithms == toset(["AES256-GCM-16"])])
    error_message = "IKEv2 and AES-256-GCM only."
  }

  assert {
    condition     = azurerm_virtual_network_gateway.this.sku == "VpnGw1AZ" && azurerm_virtual_network_gateway.this.active_active
    error_message = "A small gateway of two instances."
  }
}

run "prod" {
  command = plan

  variables {
    profile = "prod"
  }

  assert {
    condition     = azurerm_virtual_network_gateway.this.sku == "VpnGw2AZ" && azurerm_virtual_network_gateway.this.generation == "Generation2"
    error_message = "A larger gateway."
  }
}

run "one_number_for_two_is_refused" {
  command = plan

  variables {
    aws = { vpc_id = "vpc-1", route_table_ids = ["rtb-1"], asn = 64513 }
  }

  expect_failures = [var.azure]
}
