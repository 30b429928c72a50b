resource "azurerm_user_assigned_identity" "control_plane" {
  name                = "${var.name}-aks"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "kubelet" {
  name                = "${var.name}-aks-kubelet"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags
}

# Internal load balancers and new nodes join the subnet; no more of the network than that is the cluster's business.
resource "azurerm_role_assignment" "control_plane_subnet" {
  scope                = var.subnet_id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.control_plane.principal_id
  principal_type       = "ServicePrincipal"
  description          = "AKS attaches nodes and internal load balancers."
}

resource "azurerm_role_assignment" "control_plane_kubelet" {
  scope                = azurerm_user_assigned_identity.kubelet.id
  role_definition_name = "Managed Identity Operator"
  principal_id         = azurerm_user_assigned_identity.control_plane.principal_id
  principal_type       = "ServicePrincipal"
  description          = "AKS gives its nodes the kubelet's identity."
}

resource "azurerm_user_assigned_identity" "workload" {
  for_each = var.workloads

  name                = "${var.name}-${each.key}"
  location            = var.location
  resource_group_name = var.resource_group
  tags                = local.tags
}

# A pod under the service account gets the identity's token from Entra: no secret is kept anywhere.
resource "azurerm_federated_identity_credential" "workload" {
  for_each = var.workloads

  name                = each.key
  resource_group_name = var.resource_group
  parent_id           = azurerm_user_assigned_identity.workload[each.key].id
  issuer              = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject             = "system:serviceaccount:${each.value.namespace}:${each.value.service_account}"
  audience            = ["api://AzureADTokenExchange"]
}

locals {
  writers = merge([
    for name, one in var.deployers : {
      for namespace in one.namespaces : "${name}/${namespace}" => merge(one, { namespace = namespace })
    }
  ]...)
}

# To be told where the cluster is and which tenant to sign in to; on its own it opens nothing inside.
resource "azurerm_role_assignment" "deployer" {
  for_each = var.deployers

  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service Cluster User Role"
  principal_id         = each.value.principal_id
  principal_type       = each.value.principal_type
}

resource "azurerm_role_assignment" "writer" {
  for_each = local.writers

  scope                = "${azurerm_kubernetes_cluster.this.id}/namespaces/${each.value.namespace}"
  role_definition_name = "Azure Kubernetes Service RBAC Writer"
  principal_id         = each.value.principal_id
  principal_type       = each.value.principal_type
}
