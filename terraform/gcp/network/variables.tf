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
  description = "Region of the subnetworks, such as europe-west1."
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

variable "cidr" {
  description = "Private IPv4 range of the whole network, /12 to /16, that no other network to be connected with it uses; every subnetwork is cut from it."
  type        = string
  default     = "10.64.0.0/14"
  nullable    = false

  validation {
    condition     = try(cidrsubnet(var.cidr, 0, 0) == var.cidr, false) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\..*/1[2-6]$", var.cidr))
    error_message = "The range is private IPv4 in its normal form, from /12 to /16, such as 10.64.0.0/14."
  }
}

variable "nat_addresses" {
  description = "Number of fixed public addresses that egress comes from; null: 1 in dev, 2 in prod. Each carries 64,512 connections to one destination."
  type        = number
  default     = null

  validation {
    condition     = var.nat_addresses == null ? true : var.nat_addresses >= 1 && var.nat_addresses <= 16 && floor(var.nat_addresses) == var.nat_addresses
    error_message = "There are 1 to 16 egress addresses."
  }
}

variable "ssh_through_iap" {
  description = "Whether machines with the network tag NAME-ssh take SSH from Identity-Aware Proxy, which asks IAM first. Nothing else reaches port 22."
  type        = bool
  default     = false
  nullable    = false
}
