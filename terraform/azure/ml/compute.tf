locals {
  clusters = {
    for name, found in {
      cpu = { asked = var.cpu, machine = local.prod ? "Standard_D8s_v5" : "Standard_D4s_v5", max = local.prod ? 10 : 2 }
      gpu = { asked = var.gpu, machine = local.prod ? "Standard_NC8as_T4_v3" : "Standard_NC4as_T4_v3", max = local.prod ? 4 : 1 }
      } : name => {
      machine = coalesce(found.asked.machine, found.machine)
      max     = coalesce(found.asked.max, found.max)

      # In dev a job that is taken back is started again; in prod somebody waits for it.
      spot = coalesce(found.asked.spot, !local.prod)
    } if found.asked != null
  }
}

resource "azurerm_machine_learning_compute_cluster" "this" {
  for_each = local.clusters

  name                          = each.key
  location                      = var.location
  machine_learning_workspace_id = azapi_resource.workspace.id
  vm_size                       = each.value.machine
  vm_priority                   = each.value.spot ? "LowPriority" : "Dedicated"
  subnet_resource_id            = var.job_subnet_id
  node_public_ip_enabled        = false
  ssh_public_access_enabled     = false
  local_auth_enabled            = false
  tags                          = local.tags

  scale_settings {
    min_node_count                       = 0
    max_node_count                       = each.value.max
    scale_down_nodes_after_idle_duration = "PT${var.idle_minutes}M"
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.job.id]
  }

  depends_on = [azurerm_private_endpoint.workspace, azurerm_role_assignment.job]
}
