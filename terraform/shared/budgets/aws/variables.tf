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
  description = "Tags of the budget; `managed-by = mcml` is added."
  type        = map(string)
  nullable    = false

  validation {
    condition     = alltrue([for key in ["project", "environment", "team", "cost-centre"] : try(length(var.tags[key]) > 0, false)])
    error_message = "The tags project, environment, team and cost-centre must be there: costs are read by them."
  }
}

variable "by_tag" {
  description = "Key of the tag whose value the budget counts, such as `project`; null: everything in the account, tagged or not."
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

variable "account_ids" {
  description = "Accounts that the budget counts, in the account that pays for them; empty: all that the account sees."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "An account id is 12 digits."
  }
}

variable "topic_arn" {
  description = "SNS topic that is told; its policy, and that of its key, must let budgets.amazonaws.com publish."
  type        = string
  default     = null

  validation {
    condition     = var.topic_arn == null ? true : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.topic_arn))
    error_message = "A topic is an ARN such as arn:aws:sns:us-east-1:123456789012:acme-alarms; budgets publish to none of FIFO kind."
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
    condition     = length(var.emails) > 0 || var.topic_arn != null
    error_message = "Nobody would be told: give emails, topic_arn, or both."
  }
}
