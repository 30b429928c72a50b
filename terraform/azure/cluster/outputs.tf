output "name" {
  description = "Name of the cluster: `cluster` of a target in mcml.toml."
  value       = azurerm_kubernetes_cluster.this.name
}

output "id" {
  description = "Id of the cluster."
  value       = azurerm_kubernetes_cluster.this.id
}

output "endpoint" {
  description = "Host name of the API server."
  value       = var.private && !var.private_name_in_public_dns ? azurerm_kubernetes_cluster.this.private_fqdn : azurerm_kubernetes_cluster.this.fqdn
}

output "oidc_issuer_url" {
  description = "Issuer of the service accounts' tokens, for identities that are federated elsewhere."
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
}

output "node_resource_group" {
  description = "Resource group that AKS made for nodes, disks and load balancers."
  value       = azurerm_kubernetes_cluster.this.node_resource_group
}

output "pools" {
  description = "Pools by name: machine, least and most nodes, whether they are spot machines."
  value = merge(
    { general = { machine = local.general.machine, min = local.general.min, max = local.general.max, spot = false } },
    { for name, pool in local.pools : name => { machine = pool.machine, min = pool.min, max = pool.max, spot = pool.spot } },
  )
}

output "kubelet_principal_id" {
  description = "Object id of the nodes' identity, which pulls images: the data layer grants it that."
  value       = azurerm_user_assigned_identity.kubelet.principal_id
}

output "workloads" {
  description = "Workload identities by name: client id (for the service account's annotation azure.workload.identity/client-id) and object id (to grant it something)."
  value = {
    for name, identity in azurerm_user_assigned_identity.workload : name => { client_id = identity.client_id, principal_id = identity.principal_id }
  }
}
