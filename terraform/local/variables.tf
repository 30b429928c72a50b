variable "project" {
  description = "Name of the project; it stands in the tags of every target."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.project))
    error_message = "A project is lower-case letters, digits and dashes, at most 63, with no dash at either end."
  }
}

variable "environment" {
  description = "Name of the environment; it stands in the tags of every target."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.environment))
    error_message = "An environment is lower-case letters, digits and dashes, at most 63, with no dash at either end."
  }
}

variable "root" {
  description = "Folder of everything local. A relative one is seen from the folder in which Terraform runs, so a project can be moved as a whole."
  type        = string

  validation {
    condition     = length(trimspace(var.root)) > 0
    error_message = "The root must be named: an empty one would put the targets wherever Terraform happens to run."
  }
}

variable "targets" {
  description = "The targets by name: the region each stands for, how many TCP ports it leases, and tags of its own."
  type = map(object({
    region = optional(string, "")
    ports  = optional(number, 8)
    tags   = optional(map(string), {})
  }))
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.targets) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "The name of a target is lower-case letters, digits and dashes, at most 63, with no dash at either end."
  }

  validation {
    condition     = alltrue([for target in values(var.targets) : can(regex("^([A-Za-z0-9][A-Za-z0-9._-]*)?$", target.region))])
    error_message = "A region is letters, digits, dots, dashes and underscores, and starts with a letter or a digit; empty for none."
  }

  validation {
    condition     = alltrue([for target in values(var.targets) : target.ports >= 1 && target.ports <= 1024 && floor(target.ports) == target.ports])
    error_message = "A target leases 1 to 1024 ports."
  }

  validation {
    condition     = alltrue(flatten([for target in values(var.targets) : [for key in keys(target.tags) : can(regex("^[^=]+$", key))]]))
    error_message = "The key of a tag is not empty and holds no '='."
  }
}

variable "tags" {
  description = "Tags of all targets, beside project, environment and managed-by; a target's own tags win."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in keys(var.tags) : can(regex("^[^=]+$", key))])
    error_message = "The key of a tag is not empty and holds no '='."
  }
}

variable "python" {
  description = "A Python in which mcml is installed: a name on PATH, or a path."
  type        = string
  default     = "python3"
}
