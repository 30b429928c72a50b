variable "project" {
  description = "Name of the project: what is billed together, such as `acme`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.project)) && length(var.project) >= 2
    error_message = "A project is at least 2 lower-case letters, digits and single dashes, and begins with a letter."
  }

  validation {
    condition     = !can(regex("^(sg-|sthree-|amzn-|aws|goog)|google|microsoft|windows", var.project))
    error_message = "A project does not begin with sg-, sthree-, amzn-, aws or goog, and does not contain google, microsoft or windows: clouds keep these names to themselves."
  }

  validation {
    condition     = length(join("-", compact([var.project, var.environment, var.part]))) <= 20
    error_message = "Project, environment and part have at most 20 characters together, dashes included: Google's service accounts and Azure's storage accounts leave no more."
  }
}

variable "environment" {
  description = "Name of the environment, such as `dev`, `staging` or `prod`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "An environment is 2 to 10 lower-case letters and digits, and begins with a letter."
  }
}

variable "part" {
  description = "What tells several installations of one project and environment apart, such as a region's short name (`weu`); null for none."
  type        = string
  default     = null

  validation {
    condition     = var.part == null ? true : can(regex("^[a-z0-9]{1,8}$", var.part))
    error_message = "A part is 1 to 8 lower-case letters and digits."
  }
}

variable "team" {
  description = "Name of the team that answers for it, such as `risk`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", var.team))
    error_message = "A team is 1 to 63 lower-case letters, digits, dashes and underscores, the first and last a letter or digit: one spelling on all clouds."
  }
}

variable "cost_centre" {
  description = "Cost centre that pays, such as `4711`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", var.cost_centre))
    error_message = "A cost centre is 1 to 63 lower-case letters, digits, dashes and underscores, the first and last a letter or digit: one spelling on all clouds."
  }
}

variable "more_tags" {
  description = "Further tags, such as `data-class`; at most 30, so that modules and clouds have room for theirs."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.more_tags : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && try(can(regex("^[a-z0-9_-]{1,63}$", value)), false)])
    error_message = "A tag is lower-case letters, digits, dashes and underscores, at most 63; its key begins with a letter, and its value is not empty: what is left are Google's labels."
  }

  validation {
    condition     = alltrue([for key in keys(var.more_tags) : !contains(["project", "environment", "team", "cost-centre", "managed-by"], key)])
    error_message = "The tags project, environment, team, cost-centre and managed-by are made here."
  }

  validation {
    condition     = alltrue([for key in keys(var.more_tags) : !can(regex("^(aws|azure|goog|microsoft|windows)", key))])
    error_message = "A tag's key does not begin with aws, azure, goog, microsoft or windows: clouds keep these to themselves."
  }

  validation {
    condition     = length(var.more_tags) <= 30
    error_message = "There are at most 30 further tags: AWS and Azure take 50 in all."
  }
}
