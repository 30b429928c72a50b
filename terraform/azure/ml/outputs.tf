output "workspace" {
  description = "Azure ML workspace: name, id, and the URI that MLflow clients track to."
  value = {
    name   = azapi_resource.workspace.name
    id     = azapi_resource.workspace.id
    mlflow = "azureml://${var.location}.api.azureml.ms/mlflow/v1.0${azapi_resource.workspace.id}"
  }
}

output "computes" {
  description = "Training clusters by name: machine, most nodes, whether they are low-priority ones."
  value       = local.clusters
}

output "job_identity" {
  description = "Identity under which jobs run: client id and object id."
  value       = { client_id = azurerm_user_assigned_identity.job.client_id, principal_id = azurerm_user_assigned_identity.job.principal_id }
}

output "insights_id" {
  description = "Id of Application Insights."
  value       = azurerm_application_insights.this.id
}
