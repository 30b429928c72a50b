variable "project_id" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id is 6 to 30 lower-case letters, digits and dashes; it starts with a letter and does not end with a dash."
  }
}

variable "region" {
  description = "Region, such as europe-west1."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "A region looks like europe-west1; a zone (europe-west1-b) is none."
  }
}

variable "name" {
  description = "Prefix of all names, such as `acme-prod`: one project in one environment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "A name is 3 to 20 lower-case letters, digits and single dashes, and begins with a letter: names of service accounts are made from it."
  }
}

variable "profile" {
  description = "What the number of egress addresses and the density of flow logs are made for: `dev` or `prod`."
  type        = string
  default     = "dev"
  nullable    = false

  validation {
    condition     = contains(["dev", "prod"], var.profile)
    error_message = "A profile is dev or prod."
  }
}

variable "tags" {
  description = "Labels of everything that takes labels; `managed-by = mcml` is added. Costs are read by `project`, `environment`, `team` and `cost-centre`."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for key in ["project", "environment", "team", "cost-centre"] : try(length(var.tags[key]) > 0, false)])
    error_message = "The tags project, environment, team and cost-centre must be there: costs are read by them."
  }

  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Google's labels are lower-case letters, digits, dashes and underscores, at most 63; a key starts with a letter."
  }
}

variable "generation" {
  description = "Ending of names that Google keeps after a destroy (key rings for ever, databases for a week): another one lets a destroyed environment be made again."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{0,6}$", var.generation))
    error_message = "A generation is at most six lower-case letters and digits, or empty."
  }
}

variable "private_services_network_id" {
  description = "Id of the network that PostgreSQL gets its private address in; Google's services must be peered with it already."
  type        = string
  nullable    = false
}

variable "memorystore_network_id" {
  description = "Id of the network that Redis gets its endpoint in; a service connection policy for gcp-memorystore must be there already."
  type        = string
  nullable    = false
}

variable "postgres" {
  description = "PostgreSQL; null for none. What is not set: db-custom-1-3840, one zone and 7 backups in dev; db-custom-4-15360, two zones and 30 backups in prod. The sizes are GiB; logs for point-in-time recovery are kept for 7 days."
  type = object({
    version         = optional(string, "17")
    tier            = optional(string)
    storage_gib     = optional(number, 20)
    max_storage_gib = optional(number, 1000)
    ha              = optional(bool)
    backups         = optional(number)
    databases       = optional(set(string), ["mcml", "mlflow"])
  })
  default = {}

  validation {
    condition     = var.postgres == null || can(regex("^1[4-9]$", var.postgres.version))
    error_message = "The version of PostgreSQL is a major one from 14 on, such as 17."
  }

  validation {
    condition     = var.postgres == null || can(regex("^db-custom-[0-9]+-[0-9]+$", coalesce(var.postgres.tier, "db-custom-1-3840")))
    error_message = "The tier of PostgreSQL is db-custom-CPUS-MEBIBYTES: those with a shared CPU have no service level."
  }

  validation {
    condition     = var.postgres == null || try(var.postgres.max_storage_gib > var.postgres.storage_gib && var.postgres.storage_gib >= 10, false)
    error_message = "PostgreSQL has at least 10 GiB, and may grow beyond what it begins with."
  }

  validation {
    condition     = var.postgres == null || try(coalesce(var.postgres.backups, 7) >= 1 && coalesce(var.postgres.backups, 7) <= 365, false)
    error_message = "1 to 365 backups are kept; without any there is no way back."
  }
}

variable "postgres_users" {
  description = "Who may log in to PostgreSQL by IAM, by a name of yours: user:EMAIL, group:EMAIL or serviceAccount:EMAIL. What they may do inside is granted in the database."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.postgres_users) : can(regex("^(user|group|serviceAccount):[^@\\s]+@[^@\\s]+$", member))])
    error_message = "Someone who logs in by IAM is user:EMAIL, group:EMAIL or serviceAccount:EMAIL."
  }
}

variable "postgres_admin_password" {
  description = "Password of a first user `admin`, who grants the others their rights; it is in no plan and no state. Only with `postgres_admin_password_version`."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.postgres_admin_password == null ? true : length(var.postgres_admin_password) >= 16
    error_message = "The password has at least 16 characters."
  }
}

variable "postgres_admin_password_version" {
  description = "Number that goes up with each new password of `admin`; 0: there is no such user, everybody logs in by IAM."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.postgres_admin_password_version >= 0 && floor(var.postgres_admin_password_version) == var.postgres_admin_password_version
    error_message = "The version of the password is a whole number, 0 for no such user."
  }
}

variable "redis" {
  description = "Memorystore for Valkey, which speaks Redis; null for none. What is not set: one SHARED_CORE_NANO in dev; HIGHMEM_MEDIUM with a replica and daily backups in prod. Its users log in by IAM."
  type = object({
    version     = optional(string, "VALKEY_8_0")
    node_type   = optional(string)
    replicas    = optional(number)
    backup_days = optional(number, 14)
  })
  default = {}

  validation {
    condition     = var.redis == null || can(regex("^VALKEY_[0-9]+_[0-9]+$", var.redis.version))
    error_message = "The version is one of Valkey, such as VALKEY_8_0."
  }

  validation {
    condition     = var.redis == null || try(contains(["SHARED_CORE_NANO", "STANDARD_SMALL", "HIGHMEM_MEDIUM", "HIGHMEM_XLARGE"], coalesce(var.redis.node_type, "SHARED_CORE_NANO")), false)
    error_message = "A node is SHARED_CORE_NANO, STANDARD_SMALL, HIGHMEM_MEDIUM or HIGHMEM_XLARGE."
  }

  validation {
    condition     = var.redis == null || try(coalesce(var.redis.replicas, 0) >= 0 && coalesce(var.redis.replicas, 0) <= 5 && var.redis.backup_days >= 1, false)
    error_message = "Redis has up to five replicas, and keeps a backup for at least a day."
  }
}

variable "buckets" {
  description = "Buckets, made as PROJECT-NAME-BUCKET. Overwritten and deleted objects are kept for `noncurrent_days`, the newest `noncurrent_versions` of each for longer; objects go to Nearline, or away, when a number of days is set."
  type = map(object({
    versioning          = optional(bool, true)
    noncurrent_days     = optional(number, 30)
    noncurrent_versions = optional(number, 3)
    nearline_days       = optional(number)
    delete_days         = optional(number)
  }))
  default = {
    models  = { noncurrent_days = 90, noncurrent_versions = 10 }
    data    = { nearline_days = 90 }
    staging = { versioning = false, delete_days = 7 }
  }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.buckets) : can(regex("^[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?$", name))])
    error_message = "The name of a bucket is at most 11 lower-case letters, digits and dashes: with project and name it must stay below 64."
  }

  validation {
    condition     = alltrue([for one in values(var.buckets) : one.noncurrent_days >= 7 && one.noncurrent_versions >= 1])
    error_message = "Overwritten objects can be restored for at least 7 days."
  }

  validation {
    condition     = alltrue([for one in values(var.buckets) : one.versioning || one.delete_days != null])
    error_message = "A bucket without versions is for what is deleted after some days anyway: set delete_days."
  }
}

variable "registry" {
  description = "Image repository. Untagged images are deleted after `untagged_days`, tagged ones after `tagged_days` if it is set; the newest `kept` of each image always stay. Immutable tags cannot be moved to another image."
  type = object({
    immutable_tags = optional(bool, false)
    untagged_days  = optional(number, 14)
    tagged_days    = optional(number)
    kept           = optional(number, 20)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.registry.untagged_days >= 1 && coalesce(var.registry.tagged_days, 1) >= 1 && var.registry.kept >= 1
    error_message = "Images are kept for at least a day, and at least one of each."
  }
}

variable "registry_readers" {
  description = "Who may pull images, by a name of yours: the nodes of the cluster (serviceAccount:EMAIL)."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "warehouse_location" {
  description = "Where the data set of features and predictions lies: the region, or EU or US. Empty: the region."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = contains(["", "EU", "US"], var.warehouse_location) || can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.warehouse_location))
    error_message = "The location is a region, EU or US, or empty."
  }
}

variable "billing_export_table" {
  description = "PROJECT.DATASET.TABLE that Cloud Billing exports to (standard, detailed or FOCUS); a view in the data set of costs shows this project's rows of it. Empty: not yet, Cloud Billing can export into that data set."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([a-z][a-z0-9-]*\\.[A-Za-z0-9_]+\\.[A-Za-z0-9_]+)?$", var.billing_export_table))
    error_message = "The table of the billing export is PROJECT.DATASET.TABLE."
  }
}

variable "billing_location" {
  description = "Where the data set of costs lies: EU or US, for which Cloud Billing exports the last month too, or a region. It must be where the export is."
  type        = string
  default     = "EU"
  nullable    = false

  validation {
    condition     = contains(["EU", "US"], var.billing_location) || can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.billing_location))
    error_message = "The location is EU, US or a region."
  }
}

variable "own_key_for" {
  description = "Services that encrypt with the key made here, beside buckets and BigQuery, which always do: postgres, redis, registry. Their service agents must be there first (see the README); a change makes the service again."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(setsubtract(var.own_key_for, ["postgres", "redis", "registry"])) == 0
    error_message = "A key of ours can be had for postgres, redis and registry."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy anything here, before the first thing is touched; PostgreSQL and Redis refuse by themselves too. Not set: true in prod."
  type        = bool
  default     = null
}

variable "force_destroy" {
  description = "Delete buckets and data sets with all that is in them, all versions included. For throw-away environments only."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.force_destroy && var.profile == "prod")
    error_message = "In prod, buckets and data sets are not deleted with what is in them: empty them first."
  }
}
