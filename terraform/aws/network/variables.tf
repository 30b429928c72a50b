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

variable "cidr" {
  description = "Addresses of the VPC: a /16, of which each zone has a /18 for private subnets and a /24 each for public and for database subnets."
  type        = string
  default     = "10.10.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16") && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\.", var.cidr))
    error_message = "The addresses are a /16 of a private range (RFC 1918), such as 10.10.0.0/16."
  }
}

variable "zones" {
  description = "Names of the three availability zones; empty: the first three of the region. Name them in production, so that a new zone of AWS changes nothing."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = contains([0, 3], length(distinct(var.zones))) && length(var.zones) == length(distinct(var.zones))
    error_message = "There are three different zones, or none for the first three of the region."
  }
}

variable "nat" {
  description = "NAT gateways: `one`, `per-zone`, or `none` (nothing but the endpoints is reached). Not set: per zone in prod, one in dev."
  type        = string
  default     = null

  validation {
    condition     = var.nat == null || contains(["one", "per-zone", "none"], coalesce(var.nat, "one"))
    error_message = "NAT is one, per-zone or none."
  }
}

variable "interface_endpoints" {
  description = "AWS services with an endpoint in the private subnets (S3 and DynamoDB have theirs in any case). Not set: what nodes, models and backups need in prod, none in dev, where each costs by the hour."
  type        = set(string)
  default     = null

  validation {
    condition     = alltrue([for service in coalesce(var.interface_endpoints, []) : can(regex("^[a-z0-9][a-z0-9.-]*$", service))])
    error_message = "A service is named as in its endpoint, such as ecr.api or sagemaker.runtime."
  }
}

variable "log_retention_days" {
  description = "Days for which flow logs are kept. Not set: 365 in prod, 30 in dev."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null || contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], coalesce(var.log_retention_days, 30))
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "alarm_endpoints" {
  description = "HTTPS addresses that alarms are sent to, by name."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for address in values(var.alarm_endpoints) : startswith(address, "https://")])
    error_message = "Alarms are sent to https:// addresses only."
  }
}
