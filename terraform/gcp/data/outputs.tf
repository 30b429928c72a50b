output "postgres" {
  description = "PostgreSQL: instance, connection_name, address (private), port, databases; null if there is none."
  value = one([for one in values(google_sql_database_instance.this) : {
    instance        = one.name
    connection_name = one.connection_name
    address         = one.private_ip_address
    port            = 5432
    databases       = [for database in google_sql_database.this : database.name]
  }])
}

output "redis" {
  description = "Redis: instance, address (private), port (TLS; the user is `default`, the password an access token of IAM), certificates of its authority; null if there is none."
  value = one([for one in values(google_memorystore_instance.this) : {
    instance     = one.instance_id
    address      = one.endpoints[0].connections[0].psc_auto_connection[0].ip_address
    port         = one.endpoints[0].connections[0].psc_auto_connection[0].port
    certificates = flatten(one.managed_server_ca[*].ca_certs[*].certificates)
  }])
}

output "buckets" {
  description = "Names of the buckets, by what they were called here."
  value       = { for name, bucket in google_storage_bucket.this : name => bucket.name }
}

output "dataset_id" {
  description = "Id of the data set of features and predictions, without the project."
  value       = google_bigquery_dataset.ml.dataset_id
}

output "costs_dataset_id" {
  description = "Id of the data set that Cloud Billing may export to, without the project."
  value       = google_bigquery_dataset.costs.dataset_id
}

output "billing_table" {
  description = "PROJECT.DATASET.VIEW for `billing_table` in `[providers.gcp]`; empty until the export's table is known."
  value       = try("${var.project_id}.${google_bigquery_table.billing[0].dataset_id}.${google_bigquery_table.billing[0].table_id}", "")
}

output "repository" {
  description = "Where images are pushed to and pulled from: REGION-docker.pkg.dev/PROJECT/REPOSITORY."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
}

output "repository_id" {
  description = "Id of the image repository, without project and region."
  value       = google_artifact_registry_repository.this.repository_id
}

output "kms_key_id" {
  description = "Id of the key that buckets and data sets are encrypted with."
  value       = google_kms_crypto_key.this.id
}

output "deletion_protection" {
  description = "Whether all this refuses to be destroyed."
  value       = local.protected
}
