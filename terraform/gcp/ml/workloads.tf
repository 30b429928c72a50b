locals {
  # One right a line, by "WORKLOAD/WHAT": taking one away changes nothing else.
  reads  = merge([for name, one in var.workloads : { for bucket in one.reads : "${name}/${bucket}" => { who = name, bucket = bucket } }]...)
  writes = merge([for name, one in var.workloads : { for bucket in one.writes : "${name}/${bucket}" => { who = name, bucket = bucket } }]...)

  with_postgres = { for name, one in var.workloads : name => one if one.postgres && var.postgres_instance != "" }
  with_redis    = { for name, one in var.workloads : name => one if one.redis && var.redis_instance != "" }
  with_dataset  = { for name, one in var.workloads : name => one if one.dataset != "none" }
  with_vertex   = { for name, one in var.workloads : name => one if one.vertex }

  project_roles = merge(
    { for name in keys(local.with_dataset) : "${name}/bigquery.jobUser" => { who = name, role = "bigquery.jobUser", only = [] } },
    merge([for name in keys(local.with_vertex) : {
      for role in ["aiplatform.user", "logging.logWriter", "monitoring.metricWriter"] : "${name}/${role}" => { who = name, role = role, only = [] }
    }]...),
    merge([for name in keys(local.with_postgres) : {
      for role in ["cloudsql.client", "cloudsql.instanceUser"] : "${name}/${role}" => { who = name, role = role, only = [local.only_postgres] }
    }]...),
    { for name in keys(local.with_redis) : "${name}/memorystore" => { who = name, role = "memorystore.dbConnectionUser", only = [local.only_redis] } },
  )
}

resource "google_service_account" "workload" {
  for_each = var.workloads

  project      = var.project_id
  account_id   = "${var.name}-${each.key}"
  display_name = "${each.key} of ${var.name}"
  description  = "Made by mcml."

  depends_on = [google_project_service.this]
}

# A pod is this account when its own one (NAMESPACE/SERVICE_ACCOUNT) carries its email as an annotation. There is no key anywhere.
resource "google_service_account_iam_member" "workload_identity" {
  for_each = var.workload_pool == "" ? {} : var.workloads

  service_account_id = google_service_account.workload[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.workload_pool}[${each.value.namespace}/${each.value.service_account}]"
}

resource "google_storage_bucket_iam_member" "reads" {
  for_each = local.reads

  bucket = var.buckets[each.value.bucket]
  role   = "roles/storage.objectViewer"
  member = google_service_account.workload[each.value.who].member
}

# Objects, and neither the bucket nor who may read it.
resource "google_storage_bucket_iam_member" "writes" {
  for_each = local.writes

  bucket = var.buckets[each.value.bucket]
  role   = "roles/storage.objectUser"
  member = google_service_account.workload[each.value.who].member
}

resource "google_bigquery_dataset_iam_member" "workload" {
  for_each = local.with_dataset

  project    = var.project_id
  dataset_id = var.dataset_id
  role       = each.value.dataset == "write" ? "roles/bigquery.dataEditor" : "roles/bigquery.dataViewer"
  member     = google_service_account.workload[each.key].member
}

resource "google_sql_user" "workload" {
  for_each = local.with_postgres

  project         = var.project_id
  instance        = var.postgres_instance
  name            = trimsuffix(google_service_account.workload[each.key].email, ".gserviceaccount.com")
  type            = "CLOUD_IAM_SERVICE_ACCOUNT"
  deletion_policy = "ABANDON" # who owns tables cannot be dropped
}

resource "google_project_iam_member" "workload" {
  for_each = local.project_roles

  project = var.project_id
  role    = "roles/${each.value.role}"
  member  = google_service_account.workload[each.value.who].member

  dynamic "condition" {
    for_each = each.value.only

    content {
      title      = "${var.name}-${each.value.who}"
      expression = condition.value
    }
  }
}
