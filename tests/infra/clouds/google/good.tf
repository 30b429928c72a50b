terraform {
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
  }
}

provider "google" {
  project = "acme"
  region  = "europe-west1"
}

locals {
  labels = { project = "acme", environment = "prod", team = "ml", cost_centre = "4711" }
}

resource "google_storage_bucket" "models" {
  name                     = "acme-models"
  location                 = "EU"
  public_access_prevention = "enforced"
  force_destroy            = false
  labels                   = local.labels
}

resource "google_storage_bucket_iam_member" "reader" {
  bucket = google_storage_bucket.models.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:reader@acme.iam.gserviceaccount.com"
}

resource "google_sql_database_instance" "main" {
  name                = "acme"
  database_version    = "POSTGRES_16"
  deletion_protection = true

  settings {
    tier              = "db-custom-2-7680"
    availability_type = "REGIONAL"
    user_labels       = local.labels

    ip_configuration {
      ipv4_enabled    = false
      private_network = "projects/acme/global/networks/main"
    }
  }
}

resource "google_container_cluster" "main" {
  name                     = "acme"
  location                 = "europe-west1"
  remove_default_node_pool = true
  initial_node_count       = 1
  resource_labels          = local.labels

  database_encryption {
    state    = "ENCRYPTED"
    key_name = "projects/acme/locations/europe-west1/keyRings/main/cryptoKeys/gke"
  }
}

resource "google_container_node_pool" "general" {
  cluster    = google_container_cluster.main.id
  location   = "europe-west1"
  node_count = 1

  node_config {
    machine_type = "e2-standard-4"
  }
}

resource "google_container_node_pool" "gpu" {
  cluster            = google_container_cluster.main.id
  location           = "europe-west1"
  initial_node_count = 0

  autoscaling {
    total_min_node_count = 2
    total_max_node_count = 4
  }

  node_config {
    machine_type = "g2-standard-4"
    spot         = true

    guest_accelerator {
      type  = "nvidia-l4"
      count = 1
    }
  }
}

resource "google_bigquery_dataset" "bills" {
  dataset_id = "bills"
  location   = "EU"
  labels     = local.labels
}
