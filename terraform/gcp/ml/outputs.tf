output "workload_emails" {
  description = "Email of each workload's service account: what the Kubernetes account is annotated with (iam.gke.io/gcp-service-account), and what jobs of Vertex AI run as."
  value       = { for name, account in google_service_account.workload : name => account.email }
}

output "operator_email" {
  description = "Email of mcml's own service account, for `impersonate_service_account` in `[providers.gcp]`."
  value       = google_service_account.operator.email
}

output "workbench_email" {
  description = "Email of the service account that the workbenches are."
  value       = google_service_account.workbench.email
}

output "workbenches" {
  description = "Address of each workbench's JupyterLab; Google asks who comes before it lets them through."
  value       = { for name, one in google_workbench_instance.this : name => one.proxy_uri }
}

output "deletion_protection" {
  description = "Whether the workbenches refuse to be destroyed."
  value       = local.protected
}
