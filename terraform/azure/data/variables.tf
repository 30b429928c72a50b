variable "name" {
  description = "Prefix of every name, for example `acme-prod-weu`."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$", var.name))
    error_message = "A name is at most 20 lower-case letters, digits and dashes, starts with a letter and does not end in a dash."
  }
}

variable "location" {
  description = "Azure region, in its short form: `westeurope`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]+$", var.location))
    error_message = "A location is a region's short name, for example westeurope."
  }
}

variable "resource_group" {
  description = "Name of the resource group to build in: an output of the network."
  type        = string
}

variable "profile" {
  description = "`dev` (small, one zone, nothing protected) or `prod` (larger, spread over zones, protected from deletion)."
  type        = string
  default     = "dev"

  validation {
    condition     = contains(["dev", "prod"], var.profile)
    error_message = "The profile is dev or prod."
  }
}

variable "tags" {
  description = "Tags of everything; project, environment, team and cost-centre must be among them, managed-by is added."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for key in ["project", "environment", "team", "cost-centre"] : try(length(var.tags[key]) > 0, false)])
    error_message = "The tags project, environment, team and cost-centre must be set: costs are told apart by them."
  }
}

variable "endpoint_subnet_id" {
  description = "Id of the subnet of the private endpoints: an output of the network."
  type        = string
}

variable "private_dns_zone_ids" {
  description = "Ids of the private DNS zones by service: an output of the network, of which blob, dfs, vault, sql, redis and registry are used."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["blob", "dfs", "vault", "sql", "redis", "registry"], keys(var.private_dns_zone_ids))) == 0
    error_message = "The zones of blob, dfs, vault, sql, redis and registry are needed: without them the private endpoints would not be found."
  }
}

variable "log_workspace_id" {
  description = "Id of the Log Analytics workspace that keeps the audit logs."
  type        = string
}

variable "replica_location" {
  description = "Second Azure region: the geo-replica of the database and of the registry live there. Required in prod; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.replica_location == null ? true : can(regex("^[a-z0-9]+$", var.replica_location)) && var.replica_location != var.location
    error_message = "The replica's location is another region's short name, for example northeurope."
  }

  validation {
    condition     = var.profile != "prod" || var.replica_location != null
    error_message = "In prod the database and the registry have a replica: name its location."
  }
}

variable "database" {
  description = "The database: name, SKU, GB at most, days of point-in-time restore, failover of the replica (Automatic after `grace_minutes`, or Manual). What is left out follows the profile."
  type = object({
    name           = optional(string, "mcml")
    sku            = optional(string)
    max_size_gb    = optional(number, 32)
    restore_days   = optional(number)
    failover       = optional(string, "Automatic")
    grace_minutes  = optional(number, 60)
    zone_redundant = optional(bool)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,63}$", var.database.name)) && !contains(["master", "model", "msdb", "tempdb"], var.database.name)
    error_message = "The name of the database is letters, digits, dashes and underscores, and not that of a system database."
  }

  validation {
    condition     = contains(["Automatic", "Manual"], var.database.failover) && var.database.grace_minutes >= 60
    error_message = "The failover is Automatic (after 60 minutes or more) or Manual."
  }

  validation {
    condition     = try(var.database.restore_days >= 7 && var.database.restore_days <= 35, var.database.restore_days == null)
    error_message = "Point-in-time restore reaches back 7 to 35 days."
  }
}

variable "database_admin" {
  description = "Entra group (or user, or application) that administers the database servers: name and object id. There is no other login: passwords are off."
  type = object({
    name      = string
    object_id = string
  })
  nullable = false

  validation {
    condition     = length(var.database_admin.name) > 0 && can(regex("^[0-9a-f-]{36}$", var.database_admin.object_id))
    error_message = "The administrator is an Entra principal: its name, and its object id (a UUID)."
  }
}

variable "defender" {
  description = "Whether Microsoft Defender watches the database servers for attacks (paid by the server); null for no in dev, yes in prod."
  type        = bool
  default     = null
}

variable "security_emails" {
  description = "Mail addresses that Defender's alerts go to, beside the subscription's owners."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.security_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "A mail address has one @ and no spaces."
  }
}

variable "cache" {
  description = "Azure Managed Redis: SKU, whether it has a standby. What is left out follows the profile."
  type = object({
    sku               = optional(string)
    high_availability = optional(bool)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.cache.sku == null ? true : can(regex("^(Balanced_B|ComputeOptimized_X|MemoryOptimized_M|FlashOptimized_A)[0-9]+$", var.cache.sku))
    error_message = "A SKU of Azure Managed Redis is for example Balanced_B5 (those of the retired Azure Cache for Redis are not)."
  }
}

variable "model_containers" {
  description = "Containers of the versioned account, where models and their passports are."
  type        = set(string)
  default     = ["models"]
  nullable    = false

  validation {
    condition     = alltrue([for name in var.model_containers : can(regex("^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$", name))])
    error_message = "A container's name is 3 to 63 lower-case letters, digits and dashes."
  }
}

variable "lake_containers" {
  description = "File systems of the account with a hierarchical namespace, where data sets are."
  type        = set(string)
  default     = ["raw", "curated", "features"]
  nullable    = false

  validation {
    condition     = alltrue([for name in var.lake_containers : can(regex("^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$", name))])
    error_message = "A file system's name is 3 to 63 lower-case letters, digits and dashes."
  }
}

variable "storage_replication" {
  description = "Copies of what is stored: LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS; null for LRS in dev, RAGZRS (three zones and another region) in prod."
  type        = string
  default     = null

  validation {
    condition     = var.storage_replication == null ? true : contains(["LRS", "ZRS", "GRS", "GZRS", "RAGRS", "RAGZRS"], var.storage_replication)
    error_message = "The replication is LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS."
  }
}

variable "undelete_days" {
  description = "Days for which what was deleted or overwritten can be brought back; null for 7 in dev, 30 in prod."
  type        = number
  default     = null

  validation {
    condition     = var.undelete_days == null ? true : var.undelete_days >= 2 && var.undelete_days <= 365
    error_message = "Deleted blobs are kept for 2 to 365 days."
  }
}

variable "lifecycle_days" {
  description = "Days after which unread models and unchanged data go to the cool tier, data to the cold one, and old versions of models for good."
  type = object({
    cool         = optional(number, 30)
    cold         = optional(number, 90)
    old_versions = optional(number, 90)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.lifecycle_days.cool >= 1 && var.lifecycle_days.cold > var.lifecycle_days.cool && var.lifecycle_days.old_versions >= 1
    error_message = "Data turns cool before it turns cold, and old versions are kept for 1 day or more."
  }
}

variable "access" {
  description = "Who may do what, by a name of your choice: models and lake (read or write), images (pull or push), secrets (read or write), cache (true); nothing by default."
  type = map(object({
    principal_id   = string
    principal_type = optional(string, "ServicePrincipal")
    models         = optional(string)
    lake           = optional(string)
    images         = optional(string)
    secrets        = optional(string)
    cache          = optional(bool, false)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.access) : contains(["User", "Group", "ServicePrincipal"], one.principal_type)])
    error_message = "The type of a principal is User, Group or ServicePrincipal."
  }

  validation {
    condition = alltrue(flatten([for one in values(var.access) : [
      [for right in [one.models, one.lake, one.secrets] : right == null ? true : contains(["read", "write"], right)],
      one.images == null ? true : contains(["pull", "push"], one.images),
    ]]))
    error_message = "Models, lake and secrets are read or write, images pull or push; leave out what is not granted."
  }
}

variable "deletion_protection" {
  description = "Whether locks keep the database servers, the storage accounts and the registry from being deleted; null for no in dev, yes in prod."
  type        = bool
  default     = null
}
