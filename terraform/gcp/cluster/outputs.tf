output "name" {
  description = "Name of the cluster."
  value       = google_container_cluster.this.name
}

output "id" {
  description = "Id of the cluster (projects/PROJECT/locations/REGION/clusters/NAME)."
  value       = google_container_cluster.this.id
}

output "region" {
  description = "Region of the cluster."
  value       = google_container_cluster.this.location
}

output "dns_endpoint" {
  description = "DNS name of the control plane, certified by Google's own authorities; it answers whom IAM lets through."
  value       = google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].endpoint
}

output "ca_certificate" {
  description = "Certificate (PEM, base64) that certifies the private IP endpoint; no secret."
  value       = google_container_cluster.this.master_auth[0].cluster_ca_certificate
}

output "workload_pool" {
  description = "Workload identity pool: a pod's Kubernetes account is serviceAccount:POOL[NAMESPACE/ACCOUNT]."
  value       = google_container_cluster.this.workload_identity_config[0].workload_pool
}

output "node_service_account" {
  description = "The nodes' service account, as a member (serviceAccount:EMAIL): give it the right to read the image registry."
  value       = google_service_account.nodes.member
}

output "pools" {
  description = "The pools by name: machine type, spot or not, fewest and most nodes of the region, GPUs a node."
  value = {
    for name, pool in local.pools : name => {
      machine_type = pool.given.machine_type
      spot         = pool.spot
      min          = pool.min
      max          = pool.max
      gpus         = try(pool.gpu[0].count, 0)
    }
  }
}

output "deletion_protection" {
  description = "Whether the cluster refuses to be destroyed."
  value       = local.protected
}
