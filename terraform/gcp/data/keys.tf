# Reading these makes the accounts, if they are not there yet.
data "google_storage_project_service_account" "this" {
  project = var.project_id

  depends_on = [google_project_service.this]
}

data "google_bigquery_default_service_account" "this" {
  project = var.project_id

  depends_on = [google_project_service.this]
}

locals {
  # The account of Google's that encrypts for each service.
  agents = merge(
    {
      buckets   = data.google_storage_project_service_account.this.member
      warehouse = data.google_bigquery_default_service_account.this.member
    },
    { for service, domain in {
      postgres = "gcp-sa-cloud-sql"
      redis    = "gcp-sa-memorystore"
      registry = "gcp-sa-artifactregistry"
      } : service => "serviceAccount:service-${data.google_project.this.number}@${domain}.iam.gserviceaccount.com"
    if contains(var.own_key_for, service) },
  )

  key_for = { for service in ["postgres", "redis", "registry"] : service => contains(var.own_key_for, service) ? google_kms_crypto_key.this.id : null }
}

# Key rings and keys can never be deleted at Google, only their versions: hence `generation` in the ring's name.
resource "google_kms_key_ring" "this" {
  project  = var.project_id
  location = var.region
  name     = "${var.name}-data${local.suffix}"

  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key" "this" {
  # checkov:skip=CKV_GCP_82: the guard refuses in prod, destroyed versions can be restored for 30 days, and an environment must be destroyable

  name                       = "data"
  key_ring                   = google_kms_key_ring.this.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  labels                     = local.labels
}

resource "google_kms_crypto_key_iam_member" "this" {
  for_each = local.agents

  crypto_key_id = google_kms_crypto_key.this.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
