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
  description = "Labels of the notification channels; `managed-by = mcml` is added. A budget has none at Google."
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

variable "by_tag" {
  description = "Key of the tag whose value the budget counts, such as `project`; null: everything in the projects, tagged or not."
  type        = string
  default     = null

  validation {
    condition     = var.by_tag == null ? true : contains(keys(var.tags), var.by_tag)
    error_message = "The budget can count by one of the tags only."
  }
}

variable "amount" {
  description = "What may be spent in a month, in whole units of `currency`."
  type        = number
  nullable    = false

  validation {
    condition     = var.amount >= 1 && floor(var.amount) == var.amount
    error_message = "An amount is a whole number, 1 or more."
  }
}

variable "currency" {
  description = "Currency of the amount, which must be that of the bill: three letters of ISO 4217."
  type        = string
  default     = "USD"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Z]{3}$", var.currency))
    error_message = "A currency is three capital letters, such as USD."
  }
}

variable "project_id" {
  description = "Id of the Google Cloud project that the addresses' notification channels are made in, and whose APIs are switched on."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id is 6 to 30 lower-case letters, digits and dashes; it starts with a letter and does not end with a dash."
  }
}

variable "billing_account" {
  description = "Id of the billing account that pays, such as 012345-6789AB-CDEF01."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account looks like 012345-6789AB-CDEF01."
  }
}

variable "project_numbers" {
  description = "Numbers (not ids) of the projects that the budget counts; empty: all that the billing account pays for."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for number in var.project_numbers : can(regex("^[0-9]{6,20}$", number))])
    error_message = "A project is given by its number, as Google answers with numbers, and an id would be a change in every plan."
  }
}

variable "topic_id" {
  description = "Pub/Sub topic that is told of every change of the costs (projects/PROJECT/topics/NAME)."
  type        = string
  default     = null

  validation {
    condition     = var.topic_id == null ? true : can(regex("^projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$", var.topic_id))
    error_message = "A topic looks like projects/acme-123/topics/costs."
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
    condition     = length(var.emails) > 0 || var.topic_id != null
    error_message = "Nobody would be told: give emails, topic_id, or both."
  }
}
