output "network_id" {
  description = "Id of the network (projects/PROJECT/global/networks/NAME)."
  value       = google_compute_network.this.id
}

output "network_name" {
  description = "Name of the network."
  value       = google_compute_network.this.name
}

output "nodes_subnetwork_id" {
  description = "Id of the cluster's subnetwork."
  value       = google_compute_subnetwork.nodes.id
}

output "pods_range_name" {
  description = "Name of the cluster subnetwork's secondary range for pods."
  value       = google_compute_subnetwork.nodes.secondary_ip_range[0].range_name
}

output "services_range_name" {
  description = "Name of the cluster subnetwork's secondary range for services."
  value       = google_compute_subnetwork.nodes.secondary_ip_range[1].range_name
}

output "machines_subnetwork_id" {
  description = "Id of the subnetwork of single machines and workbenches."
  value       = google_compute_subnetwork.machines.id
}

output "private_services_network_id" {
  description = "Id of the network, known once Google's services are peered with it: what a database with a private address is given."
  value       = google_compute_network.this.id
  depends_on  = [google_service_networking_connection.this]
}

output "memorystore_network_id" {
  description = "Id of the network, known once Memorystore may make endpoints in it: what a cache is given."
  value       = google_compute_network.this.id
  depends_on  = [google_network_connectivity_service_connection_policy.memorystore]
}

output "egress_addresses" {
  description = "Public addresses that everything inside is seen under, for other clouds' allow lists."
  value       = google_compute_address.nat[*].address
}

output "ranges" {
  description = "What the range was cut into: nodes, pods, services, machines, proxies, endpoints, peered (Google's own services)."
  value       = local.ranges
}

output "network_tags" {
  description = "Network tags that the firewall knows: backend (health checks and proxies come in), ssh (Identity-Aware Proxy comes in, if that is on)."
  value       = { backend = "${var.name}-backend", ssh = "${var.name}-ssh" }
}
