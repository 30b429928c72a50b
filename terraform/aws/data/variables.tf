variable "name" {
  description = "Prefix of all names, such as `acme-prod`: one project in one environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 28
    error_message = "A name is at most 28 lower-case letters, digits and single dashes, and begins with a letter: names of buckets and roles are made from it."
  }
}

variable "profile" {
  description = "What the sizes, the redundancy and the deletion protection are made for: `dev` or `prod`."
  type        = string
  default     = "dev"

  validation {
    condition     = contains(["dev", "prod"], var.profile)
    error_message = "A profile is dev or prod."
  }
}

variable "tags" {
  description = "Tags of everything; `managed-by = mcml` is added. Costs are read by `project`, `environment`, `team` and `cost-centre`."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["project", "environment", "team", "cost-centre"] : try(length(var.tags[key]) > 0, false)])
    error_message = "The tags project, environment, team and cost-centre must be there: costs are read by them."
  }
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "database_subnet_ids" {
  description = "Subnets of PostgreSQL and Redis, in at least two zones, with no way to the internet."
  type        = list(string)

  validation {
    condition     = length(var.database_subnet_ids) >= 2
    error_message = "A database needs subnets in at least two zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect to PostgreSQL and Redis, by a name of yours, such as that of the cluster."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "postgres" {
  description = "PostgreSQL; null for none. What is not set: db.t4g.medium, one zone and 7 days of backups in dev; db.r7g.large, two zones and 35 days in prod. The sizes are GiB."
  type = object({
    version         = optional(string, "17")
    instance_class  = optional(string)
    storage_gib     = optional(number, 100)
    max_storage_gib = optional(number, 1000)
    multi_az        = optional(bool)
    backup_days     = optional(number)
    database        = optional(string, "mcml")
  })
  default = {}

  validation {
    condition     = var.postgres == null || can(regex("^1[4-9](\\.[0-9]+)?$", var.postgres.version))
    error_message = "The version of PostgreSQL is a major one from 14 on, such as 17, or a full one, such as 17.5."
  }

  validation {
    condition     = var.postgres == null || try(var.postgres.max_storage_gib > var.postgres.storage_gib && var.postgres.storage_gib >= 20, false)
    error_message = "PostgreSQL has at least 20 GiB, and may grow beyond what it begins with."
  }

  validation {
    condition     = var.postgres == null || try(coalesce(var.postgres.backup_days, 7) >= 1 && coalesce(var.postgres.backup_days, 7) <= 35, false)
    error_message = "Backups are kept for 1 to 35 days; without any there is no way back."
  }
}

variable "redis" {
  description = "Redis; null for none. What is not set: one cache.t4g.small in dev; two cache.m7g.large in two zones in prod. Its users log in by IAM."
  type = object({
    version       = optional(string, "7.1")
    node_type     = optional(string)
    nodes         = optional(number)
    snapshot_days = optional(number)
  })
  default = {}

  validation {
    condition     = var.redis == null || can(regex("^7\\.[0-9]$", var.redis.version))
    error_message = "The version of Redis is 7.0 or 7.1: users log in by IAM from 7.0 on."
  }

  validation {
    condition     = var.redis == null || try(coalesce(var.redis.nodes, 1) >= 1 && coalesce(var.redis.nodes, 1) <= 6, false)
    error_message = "Redis has one primary and up to five replicas: 1 to 6 nodes."
  }
}

variable "repositories" {
  description = "Image repositories, made as NAME/REPOSITORY."
  type        = set(string)
  default     = ["serving", "training"]
  nullable    = false

  validation {
    condition     = alltrue([for one in var.repositories : can(regex("^[a-z0-9]+([._-][a-z0-9]+)*$", one))])
    error_message = "A repository is lower-case letters and digits, with single dots, dashes or underscores between them."
  }
}

variable "kept_images" {
  description = "Tagged images that each repository keeps; older ones are removed."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.kept_images >= 10
    error_message = "At least 10 images are kept: a rollback needs the earlier ones."
  }
}

variable "noncurrent_days" {
  description = "Days for which overwritten and deleted objects of the buckets can still be restored. Not set: 365 in prod, 30 in dev."
  type        = number
  default     = null

  validation {
    condition     = coalesce(var.noncurrent_days, 30) >= 7
    error_message = "Overwritten objects can be restored for at least 7 days."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete PostgreSQL. Not set: true in prod, false in dev."
  type        = bool
  default     = null
}

variable "last_copies" {
  description = "Take a last snapshot of PostgreSQL and Redis when they are deleted, and keep the automated backups. Not set: as deletion_protection."
  type        = bool
  default     = null
}

variable "force_destroy" {
  description = "Delete buckets and repositories with all that is in them, all versions included. For throw-away environments only."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.force_destroy && var.profile == "prod")
    error_message = "In prod, buckets and repositories are not deleted with what is in them: empty them first."
  }
}

variable "log_retention_days" {
  description = "Days for which the logs of PostgreSQL and Redis are kept. Not set: 365 in prod, 30 in dev."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null || contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], coalesce(var.log_retention_days, 30))
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms are sent to; not set: alarms are kept in CloudWatch only."
  type        = string
  default     = null
}
