locals {
  dataset = replace(var.name, "-", "_")

  # Google's own FOCUS export has other columns; mcml tells it by its name.
  is_focus     = startswith(try(split(".", var.billing_export_table)[2], ""), "gcp_billing_export_focus")
  billing_view = local.is_focus ? "gcp_billing_export_focus_view" : "billing"
  project_of   = local.is_focus ? "SubAccountId" : "project.id"
}

# Features, predictions, what is measured.
resource "google_bigquery_dataset" "ml" {
  project                    = var.project_id
  location                   = coalesce(var.warehouse_location, var.region)
  dataset_id                 = "${local.dataset}_ml"
  description                = "Features and predictions of ${var.name}."
  max_time_travel_hours      = "168"
  delete_contents_on_destroy = var.force_destroy
  labels                     = local.labels

  # A key of one region cannot encrypt what lies in EU or US.
  dynamic "default_encryption_configuration" {
    for_each = coalesce(var.warehouse_location, var.region) == var.region ? [google_kms_crypto_key.this.id] : []

    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.this]
}

# Where Cloud Billing may export to, and where the view of this project's rows is. Cloud Billing writes it, so it has Google's own keys.
resource "google_bigquery_dataset" "costs" {
  # checkov:skip=CKV_GCP_81: Cloud Billing writes it, and it lies in EU or US as a rule, where a key of one region cannot be used

  project                    = var.project_id
  location                   = var.billing_location
  dataset_id                 = "${local.dataset}_costs"
  description                = "Billing export, or a view of this project's part of it."
  max_time_travel_hours      = "168"
  delete_contents_on_destroy = var.force_destroy
  labels                     = local.labels

  depends_on = [google_project_service.this]
}

resource "google_bigquery_table" "billing" {
  # checkov:skip=CKV_GCP_80: a view holds no data

  count = var.billing_export_table == "" ? 0 : 1

  project             = var.project_id
  dataset_id          = google_bigquery_dataset.costs.dataset_id
  table_id            = local.billing_view
  description         = "This project's rows of the billing export."
  deletion_protection = local.protected
  labels              = local.labels

  view {
    query          = "SELECT * FROM `${var.billing_export_table}` WHERE ${local.project_of} = '${var.project_id}'"
    use_legacy_sql = false
  }
}
