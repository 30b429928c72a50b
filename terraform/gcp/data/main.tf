locals {
  prod      = var.profile == "prod"
  protected = coalesce(var.deletion_protection, local.prod)
  labels    = merge(var.tags, { managed-by = "mcml" })
  suffix    = var.generation == "" ? "" : "-${var.generation}"

  services = concat(
    ["artifactregistry.googleapis.com", "bigquery.googleapis.com", "cloudkms.googleapis.com", "storage.googleapis.com"],
    var.postgres == null ? [] : ["sqladmin.googleapis.com"],
    var.redis == null ? [] : ["memorystore.googleapis.com", "serviceconsumermanagement.googleapis.com"],
  )
}

resource "google_project_service" "this" {
  for_each = toset(local.services)

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project_id
}

# The order of a destroy: this, then all that it depends on. Some of that has no protection of its own, some would be half gone (databases
# and users before their instance) by the time the rest refuses.
resource "terraform_data" "guard" {
  input            = { name = var.name, protected = local.protected }
  triggers_replace = concat(values(google_sql_database_instance.this)[*].id, values(google_memorystore_instance.this)[*].id)

  provisioner "local-exec" {
    when        = destroy
    interpreter = ["/bin/sh", "-c"]
    command     = self.output.protected ? "echo 'The data of ${self.output.name} are protected: apply with deletion_protection = false first.' >&2; exit 1" : ":"
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.readers,
    google_artifact_registry_repository.this,
    google_bigquery_dataset.costs,
    google_bigquery_dataset.ml,
    google_bigquery_table.billing,
    google_kms_crypto_key.this,
    google_kms_crypto_key_iam_member.this,
    google_project_iam_member.postgres,
    google_sql_database.this,
    google_sql_user.admin,
    google_sql_user.iam,
    google_storage_bucket.this,
  ]
}
