# mcml itself, on a person's machine or in a pipeline: `impersonate_service_account` in `[providers.gcp]`.
locals {
  operator_roles = setunion(var.operator_roles, [
    "roles/aiplatform.user",
    "roles/bigquery.jobUser",
    "roles/cloudasset.viewer",
    "roles/container.developer",
    "roles/monitoring.viewer",
  ])
}

resource "google_service_account" "operator" {
  project      = var.project_id
  account_id   = "${var.name}-mcml"
  display_name = "mcml in ${var.name}"
  description  = "What mcml deploys, copies and reads as."

  depends_on = [google_project_service.this]
}

# Those of a pool have no account that could create tokens: they have the role that is made for them.
resource "google_service_account_iam_member" "operators" {
  for_each = var.operators

  service_account_id = google_service_account.operator.name
  role               = startswith(each.value, "principal") ? "roles/iam.workloadIdentityUser" : "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}

resource "google_project_iam_member" "operator" {
  for_each = local.operator_roles

  project = var.project_id
  role    = each.key
  member  = google_service_account.operator.member
}

resource "google_storage_bucket_iam_member" "operator" {
  for_each = var.buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.operator.member
}

resource "google_artifact_registry_repository_iam_member" "operator" {
  project    = var.project_id
  location   = var.region
  repository = var.repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.operator.member
}

resource "google_bigquery_dataset_iam_member" "operator" {
  for_each = toset(var.costs_dataset_id == "" ? [] : ["costs"])

  project    = var.project_id
  dataset_id = var.costs_dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.operator.member
}

# A job or an endpoint of Vertex AI runs as a workload; who starts it must be allowed to use that account.
resource "google_service_account_iam_member" "operator_runs" {
  for_each = local.with_vertex

  service_account_id = google_service_account.workload[each.key].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.operator.member
}
