variable "name" {
  description = "Name of the budget, such as `acme-prod`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "A name is 3 to 20 lower-case letters, digits and single dashes, and begins with a letter."
  }
}

variable "profile" {
  description = "What the thresholds are made for: `dev` or `prod`."
  type        = string
  default     = "dev"
  nullable    = false

  validation {
    condition     = contains(["dev", "prod"], var.profile)
    error_message = "A profile is dev or prod."
  }
}

variable "tags" {
  description = "Tags of what the budget counts; it has none itself at Azure."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for key in ["project", "environment", "team", "cost-centre"] : try(length(var.tags[key]) > 0, false)])
    error_message = "The tags project, environment, team and cost-centre must be there: costs are read by them."
  }
}

variable "by_tag" {
  description = "Key of the tag whose value the budget counts, such as `project`; null: everything in the subscription, tagged or not."
  type        = string
  default     = null

  validation {
    condition     = var.by_tag == null ? true : contains(keys(var.tags), var.by_tag)
    error_message = "The budget can count by one of the tags only."
  }
}

variable "amount" {
  description = "What may be spent in a month, in whole units of the currency that the subscription is billed in."
  type        = number
  nullable    = false

  validation {
    condition     = var.amount >= 1 && floor(var.amount) == var.amount
    error_message = "An amount is a whole number, 1 or more."
  }
}

variable "subscription_id" {
  description = "Id of the subscription that the budget is in and counts."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "A subscription id is a UUID in lower case."
  }
}

variable "resource_groups" {
  description = "Names of the resource groups that the budget counts; empty: the whole subscription."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for name in var.resource_groups : can(regex("^[A-Za-z0-9._()-]{1,90}$", name))])
    error_message = "A resource group is given by its name, not by its id."
  }
}

variable "first_month" {
  description = "Month that the budget begins with, such as 2026-11: that of the first apply. Another one makes another budget."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^20[0-9]{2}-(0[1-9]|1[0-2])$", var.first_month))
    error_message = "A month looks like 2026-11."
  }
}

variable "action_group_ids" {
  description = "Ids of the action groups that are told, which can call a web hook."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.action_group_ids : can(regex("^/subscriptions/.+/providers/[Mm]icrosoft.[Ii]nsights/actionGroups/[^/]+$", id))])
    error_message = "An action group is given by its id, which ends in /providers/Microsoft.Insights/actionGroups/NAME."
  }
}

variable "thresholds" {
  description = "Percents of the amount at which somebody is told, at most 5: what is spent, or what will be spent by the end of the month (forecast). Null: 80 and 100 in dev; 50, 80, 100 and 100 forecast in prod."
  type = list(object({
    percent  = number
    forecast = optional(bool, false)
  }))
  default = null

  validation {
    condition     = var.thresholds == null ? true : length(var.thresholds) >= 1 && length(var.thresholds) <= 5 && length(distinct(var.thresholds)) == length(var.thresholds)
    error_message = "There are 1 to 5 different thresholds."
  }

  validation {
    condition     = var.thresholds == null ? true : alltrue([for one in var.thresholds : one.percent >= 1 && one.percent <= 1000 && floor(one.percent) == one.percent])
    error_message = "A threshold is a whole number of percents, 1 to 1000."
  }
}

variable "emails" {
  description = "Addresses that are told, at most 5."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.emails) <= 5 && alltrue([for address in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "There are at most 5 addresses, such as ml@example.com."
  }

  validation {
    condition     = length(var.emails) > 0 || length(var.action_group_ids) > 0
    error_message = "Nobody would be told: give emails, action_group_ids, or both."
  }
}
