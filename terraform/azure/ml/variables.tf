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

variable "job_subnet_id" {
  description = "Id of the subnet of the training machines: an output of the network."
  type        = string
}

variable "private_dns_zone_ids" {
  description = "Ids of the private DNS zones by service: an output of the network, of which blob, file, vault, ml and ml_notebooks are used."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["blob", "file", "vault", "ml", "ml_notebooks"], keys(var.private_dns_zone_ids))) == 0
    error_message = "The zones of blob, file, vault, ml and ml_notebooks are needed: without them the private endpoints would not be found."
  }
}

variable "log_workspace_id" {
  description = "Id of the Log Analytics workspace that Application Insights and the audit logs write to."
  type        = string
}

variable "log_private_link_scope" {
  description = "Name of the private link scope by which Application Insights is reached: an output of the network."
  type        = string
}

variable "registry_id" {
  description = "Id of the container registry of the environments' images: an output of the data layer."
  type        = string
}

variable "model_account_id" {
  description = "Id of the storage account that training writes models to: an output of the data layer."
  type        = string
}

variable "lake_account_id" {
  description = "Id of the storage account that training reads data sets from: an output of the data layer."
  type        = string
}

variable "data_sets" {
  description = "Containers of the data layer that the workspace shows as datastores, by a name of your choice: their ids."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.data_sets) : can(regex("^[a-z][a-z0-9_]{0,253}$", name))])
    error_message = "The name of a datastore is lower-case letters, digits and underscores, and starts with a letter."
  }
}

variable "cpu" {
  description = "Training machines without GPUs, of which there are none until a job asks: machine, most nodes, whether they are low-priority ones. What is left out follows the profile."
  type = object({
    machine = optional(string)
    max     = optional(number)
    spot    = optional(bool)
  })
  default  = {}
  nullable = false

  validation {
    condition     = try(var.cpu.max >= 1 && var.cpu.max <= 100, var.cpu.max == null)
    error_message = "At most 1 to 100 machines."
  }
}

variable "gpu" {
  description = "Training machines with NVIDIA GPUs, of which there are none until a job asks: machine, most nodes, whether they are low-priority ones; null for no such cluster."
  type = object({
    machine = optional(string)
    max     = optional(number)
    spot    = optional(bool)
  })
  default = {}

  validation {
    condition     = var.gpu == null ? true : try(var.gpu.max >= 1 && var.gpu.max <= 100, var.gpu.max == null)
    error_message = "At most 1 to 100 machines."
  }

  validation {
    condition     = try(can(regex("^Standard_N[CDV]", var.gpu.machine)), true) || try(var.gpu.machine == null, true)
    error_message = "A machine with NVIDIA GPUs is of the series NC, ND or NV, for example Standard_NC4as_T4_v3."
  }
}

variable "idle_minutes" {
  description = "Minutes after which an idle training machine is given back."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.idle_minutes >= 1 && var.idle_minutes <= 1440
    error_message = "An idle machine is given back after 1 minute to a day."
  }
}

variable "scientists" {
  description = "Who works in the workspace, by a name of your choice: object id and type (User, Group, ServicePrincipal). They run jobs and register models; they do not change the workspace or its machines."
  type = map(object({
    principal_id   = string
    principal_type = optional(string, "Group")
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.scientists) : contains(["User", "Group", "ServicePrincipal"], one.principal_type)])
    error_message = "The type of a principal is User, Group or ServicePrincipal."
  }
}

variable "deletion_protection" {
  description = "Whether locks keep the workspace and its storage account from being deleted; null for no in dev, yes in prod."
  type        = bool
  default     = null
}
