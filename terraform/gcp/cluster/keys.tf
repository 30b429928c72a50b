# Key rings and keys can never be deleted at Google, only their versions: hence `generation` in the ring's name.
resource "google_kms_key_ring" "this" {
  project  = var.project_id
  location = var.region
  name     = "${var.name}-cluster${local.suffix}"

  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key" "secrets" {
  # checkov:skip=CKV_GCP_82: the guard refuses in prod, destroyed versions can be restored for 30 days, and an environment must be destroyable

  name                       = "secrets"
  key_ring                   = google_kms_key_ring.this.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  labels                     = local.labels
}

resource "google_kms_crypto_key" "disks" {
  # checkov:skip=CKV_GCP_82: the guard refuses in prod, destroyed versions can be restored for 30 days, and an environment must be destroyable

  name                       = "disks"
  key_ring                   = google_kms_key_ring.this.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  labels                     = local.labels
}

resource "google_kms_crypto_key_iam_member" "secrets" {
  crypto_key_id = google_kms_crypto_key.secrets.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "${local.agents}container-engine-robot.iam.gserviceaccount.com"

  # Google makes this account when the API is switched on.
  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key_iam_member" "disks" {
  crypto_key_id = google_kms_crypto_key.disks.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "${local.agents}compute-system.iam.gserviceaccount.com"

  depends_on = [google_project_service.this]
}
