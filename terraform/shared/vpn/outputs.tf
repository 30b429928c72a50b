output "gateway_ids" {
  description = "Id of each cloud's gateway: aws, gcp, azure."
  value       = { aws = aws_vpn_gateway.this.id, gcp = google_compute_ha_vpn_gateway.this.id, azure = azurerm_virtual_network_gateway.this.id }
}

output "addresses" {
  description = "Public addresses of each cloud's gateway: aws (eight, one a tunnel), gcp and azure (two each)."
  value = {
    aws   = [for end in values(local.ends) : end.address]
    gcp   = google_compute_ha_vpn_gateway.this.vpn_interfaces[*].ip_address
    azure = azurerm_public_ip.this[*].ip_address
  }
}
