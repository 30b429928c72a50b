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

variable "profile" {
  description = "`dev` (small, one zone) or `prod` (every zone, longer retention)."
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

variable "address_space" {
  description = "IPv4 range of the network; of /16 to /20, as the subnets are cut out of it. Must not overlap the networks it will be connected to."
  type        = string
  default     = "10.30.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.address_space, 0)) && try(tonumber(split("/", var.address_space)[1]) >= 16 && tonumber(split("/", var.address_space)[1]) <= 20, false)
    error_message = "The address space is an IPv4 range of /16 to /20, for example 10.30.0.0/16."
  }
}

variable "dns_servers" {
  description = "DNS servers of the network; empty for Azure's own, which know the private zones."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "gateway_subnet" {
  description = "Whether to set addresses aside for a VPN gateway (the subnet must be called GatewaySubnet and takes no security group)."
  type        = bool
  default     = false
  nullable    = false
}

variable "trusted_ranges" {
  description = "IPv4 ranges outside the network (VPN, peered networks) from which the private endpoints may be reached."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.trusted_ranges : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "A trusted range is an IPv4 range such as 10.40.0.0/16, and not the whole internet."
  }
}

variable "public_ingress" {
  description = "TCP ports of the nodes that a public load balancer may open and to whom; null for none: load balancers are then internal."
  type = object({
    ports   = set(number)
    sources = set(string)
  })
  default = null

  validation {
    condition     = try(alltrue([for port in var.public_ingress.ports : port >= 1 && port <= 65535 && !contains([22, 3389], port)]), var.public_ingress == null)
    error_message = "Ports are 1 to 65535; those of SSH (22) and RDP (3389) are never opened to the outside."
  }
}

variable "nat_addresses" {
  description = "Public addresses of the NAT gateway, each good for 64,512 connections to one destination; null for 1 in dev, 2 in prod."
  type        = number
  default     = null

  validation {
    condition     = var.nat_addresses == null ? true : var.nat_addresses >= 1 && var.nat_addresses <= 16 && floor(var.nat_addresses) == var.nat_addresses
    error_message = "A NAT gateway takes 1 to 16 addresses."
  }
}

variable "nat_zone" {
  description = "Zone of the NAT gateway; null lets Azure choose (one gateway serves all zones of the subnets, and fails with its own)."
  type        = string
  default     = null

  validation {
    condition     = var.nat_zone == null ? true : contains(["1", "2", "3"], var.nat_zone)
    error_message = "A zone is 1, 2 or 3."
  }
}

variable "log_retention_days" {
  description = "Days for which the log workspace keeps its logs; null for 30 in dev, 90 in prod."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null ? true : var.log_retention_days >= 30 && var.log_retention_days <= 730
    error_message = "Logs are kept for 30 to 730 days."
  }
}

variable "log_daily_quota_gb" {
  description = "GB of logs a day, after which no more are taken in; null for 5 in dev, -1 (no limit) in prod."
  type        = number
  default     = null
}

variable "log_queries_from_internet" {
  description = "Whether logs may be queried from outside the network (the portal on a laptop), by those whom Entra lets in. They are taken in from inside only, always."
  type        = bool
  default     = false
  nullable    = false
}

variable "flow_logs" {
  description = "Where the network's flow logs go: a storage account and the region's network watcher; null for none."
  type = object({
    storage_account_id     = string
    network_watcher        = string
    watcher_resource_group = optional(string, "NetworkWatcherRG")
    retention_days         = optional(number, 90)
  })
  default = null
}

variable "ddos_protection_plan_id" {
  description = "DDoS protection plan, which is paid for by the month and shared by subscriptions; null for Azure's basic protection."
  type        = string
  default     = null
}
