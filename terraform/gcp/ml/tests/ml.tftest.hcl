variables {
  project_id             = "acme-123"
  region                 = "europe-west1"
  name                   = "acme-dev"
  tags                   = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
  network_id             = "projects/acme-123/global/networks/acme-dev"
  machines_subnetwork_id = "projects/acme-123/regions/europe-west1/subnetworks/acme-dev-machines"
  buckets                = { models = "acme-models", data = "acme-data" }
  dataset_id             = "acme_dev_ml"
  repository_id          = "acme-dev"
}

run "dev" {
  variables {
    workload_pool    = "acme-123.svc.id.goog"
    costs_dataset_id = "acme_dev_costs"
    redis_instance   = "acme-dev-redis"
    operators        = { ada = "user:ada@example.com", ci = "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/attribute.repository/acme/models" }
    workbench_users  = { scientists = "group:scientists@example.com" }
  }

  assert {
    condition     = { for name, one in google_service_account.workload : name => one.account_id } == { serving = "acme-dev-serving", training = "acme-dev-training" }
    error_message = "Every workload has a service account of its own."
  }

  assert {
    condition     = google_service_account_iam_member.workload_identity["serving"].member == "serviceAccount:acme-123.svc.id.goog[models/serving]"
    error_message = "It is one Kubernetes account's."
  }

  assert {
    condition     = keys(google_storage_bucket_iam_member.reads) == ["serving/models", "training/data", "training/models"] && keys(google_storage_bucket_iam_member.writes) == ["training/models"]
    error_message = "Serving reads models; training reads data and writes models."
  }

  assert {
    condition     = google_storage_bucket_iam_member.writes["training/models"].role == "roles/storage.objectUser" && google_storage_bucket_iam_member.writes["training/models"].bucket == "acme-models"
    error_message = "Who writes objects does not administer the bucket."
  }

  assert {
    condition     = keys(google_project_iam_member.workload) == ["serving/memorystore", "training/aiplatform.user", "training/bigquery.jobUser", "training/logging.logWriter", "training/monitoring.metricWriter"]
    error_message = "On the project a workload may do what it must, and no more."
  }

  assert {
    condition     = endswith(google_project_iam_member.workload["serving/memorystore"].condition[0].expression, "'/locations/europe-west1/instances/acme-dev-redis')")
    error_message = "It logs in to this Redis and no other."
  }

  assert {
    condition     = google_bigquery_dataset_iam_member.workload["training"].role == "roles/bigquery.dataViewer" && length(google_sql_user.workload) == 0
    error_message = "Training reads features; nobody has a database that is not there."
  }

  assert {
    condition = alltrue([
      toset(keys(google_project_iam_member.operator)) == toset(["roles/aiplatform.user", "roles/bigquery.jobUser", "roles/cloudasset.viewer", "roles/container.developer", "roles/monitoring.viewer"]),
      google_artifact_registry_repository_iam_member.operator.role == "roles/artifactregistry.writer",
      google_bigquery_dataset_iam_member.operator["costs"].role == "roles/bigquery.dataViewer",
      keys(google_service_account_iam_member.operator_runs) == ["training"],
      google_service_account_iam_member.operators["ada"].role == "roles/iam.serviceAccountTokenCreator",
      google_service_account_iam_member.operators["ci"].role == "roles/iam.workloadIdentityUser",
    ])
    error_message = "mcml deploys, pushes, reads bills and metrics, and administers nothing."
  }

  assert {
    condition = alltrue([
      google_workbench_instance.this["lab"].location == "europe-west1-b",
      google_workbench_instance.this["lab"].gce_setup[0].disable_public_ip,
      google_workbench_instance.this["lab"].gce_setup[0].boot_disk[0].disk_encryption == "CMEK",
      google_workbench_instance.this["lab"].gce_setup[0].data_disks[0].kms_key == google_kms_crypto_key.disks.id,
      google_workbench_instance.this["lab"].gce_setup[0].shielded_instance_config[0].enable_secure_boot,
      google_workbench_instance.this["lab"].gce_setup[0].service_accounts[0].email == google_service_account.workbench.email,
      google_workbench_instance.this["lab"].gce_setup[0].network_interfaces[0].subnet == var.machines_subnetwork_id,
      google_workbench_instance.this["lab"].gce_setup[0].metadata == tomap({ "notebook-disable-root" = "true", "serial-port-logging-enable" = "false", "idle-timeout-seconds" = "3600" }),
      google_workbench_instance.this["lab"].labels["managed-by"] == "mcml",
    ])
    error_message = "A workbench has no public address, encrypted disks, no root, and is stopped after an idle hour."
  }

  assert {
    condition     = keys(google_storage_bucket_iam_member.workbench) == ["data", "models"] && alltrue([for one in google_storage_bucket_iam_member.workbench : one.role == "roles/storage.objectViewer"])
    error_message = "A workbench reads."
  }
}

run "prod" {
  command = plan

  variables {
    profile           = "prod"
    generation        = "b"
    postgres_instance = "acme-dev"
    operator_roles    = ["roles/container.clusterAdmin"]
    workloads         = { features = { namespace = "features", service_account = "builder", postgres = true, redis = true, dataset = "write" } }
    workbenches = {
      ada = { owner = "ada@example.com", zone = "europe-west1-c", gpu = { type = "NVIDIA_TESLA_T4" }, machine_type = "n1-standard-8", idle_minutes = 0 }
      lab = {}
    }
  }

  assert {
    condition     = keys(google_project_iam_member.workload) == ["features/bigquery.jobUser", "features/cloudsql.client", "features/cloudsql.instanceUser"]
    error_message = "Nobody logs in to a Redis that is not there, and PostgreSQL takes two roles."
  }

  assert {
    condition     = endswith(google_project_iam_member.workload["features/cloudsql.instanceUser"].condition[0].expression, "'projects/acme-123/instances/acme-dev'") && google_sql_user.workload["features"].type == "CLOUD_IAM_SERVICE_ACCOUNT"
    error_message = "It logs in to this PostgreSQL and no other, by IAM."
  }

  assert {
    condition     = google_bigquery_dataset_iam_member.workload["features"].role == "roles/bigquery.dataEditor" && length(google_service_account_iam_member.workload_identity) == 0
    error_message = "Who builds features writes them; without a cluster there is no pod."
  }

  assert {
    condition     = contains(keys(google_project_iam_member.operator), "roles/container.clusterAdmin") && google_kms_key_ring.this.name == "acme-dev-ml-b"
    error_message = "mcml may scale pools when somebody says so."
  }

  assert {
    condition = alltrue([
      google_workbench_instance.this["ada"].instance_owners == tolist(["ada@example.com"]),
      google_workbench_instance.this["ada"].gce_setup[0].accelerator_configs[0].type == "NVIDIA_TESLA_T4",
      !contains(keys(google_workbench_instance.this["ada"].gce_setup[0].metadata), "idle-timeout-seconds"),
      google_workbench_instance.this["lab"].gce_setup[0].metadata["idle-timeout-seconds"] == "10800",
      alltrue([for guard in terraform_data.guard : guard.input.protected]),
    ])
    error_message = "One's own workbench with a GPU; all are protected in production."
  }
}

run "nothing_but_mcml" {
  variables {
    workloads   = {}
    workbenches = {}
    buckets     = {}
  }

  assert {
    condition     = output.workload_emails == {} && output.workbenches == {} && length(google_project_iam_member.workload) == 0
    error_message = "There need be no workloads and no workbenches."
  }
}

run "mcml_owns_nothing" {
  command = plan

  variables {
    operator_roles = ["roles/owner"]
  }

  expect_failures = [var.operator_roles]
}
