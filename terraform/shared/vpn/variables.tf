variable "name" {
  description = "Prefix of all names, such as `acme-prod`: one project in one environment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 20
    error_message = "A name is 3 to 20 lower-case letters, digits and single dashes, and begins with a letter."
  }
}

variable "profile" {
  description = "What the size of the Azure gateway is made for: `dev` (VpnGw1AZ) or `prod` (VpnGw2AZ)."
  type        = string
  default     = "dev"
  nullable    = false

  validation {
    condition     = contains(["dev", "prod"], var.profile)
    error_message = "A profile is dev or prod."
  }
}

variable "tags" {
  description = "Tags and labels of everything that takes some; `managed-by = mcml` is added."
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

variable "aws" {
  description = "The VPC, the route tables that learn the other clouds' ranges, and the number (ASN) of its gateway."
  type = object({
    vpc_id          = string
    route_table_ids = list(string)
    asn             = optional(number, 64512)
  })
  nullable = false

  validation {
    condition     = startswith(var.aws.vpc_id, "vpc-") && length(var.aws.route_table_ids) > 0
    error_message = "A VPC's id begins with vpc-, and at least one route table learns the way to the other clouds."
  }
}

variable "gcp" {
  description = "The network (projects/PROJECT/global/networks/NAME), the region of its gateway, and the number (ASN) of its router."
  type = object({
    project_id = string
    region     = string
    network_id = string
    asn        = optional(number, 64513)
  })
  nullable = false

  validation {
    condition     = can(regex("^projects/[^/]+/global/networks/[^/]+$", var.gcp.network_id)) && can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.gcp.region))
    error_message = "A network looks like projects/PROJECT/global/networks/NAME, and a region like europe-west1."
  }
}

variable "azure" {
  description = "The resource group, the location and the GatewaySubnet of the network (its module makes one with `gateway_subnet = true`), and the number (ASN) of its gateway."
  type = object({
    resource_group    = string
    location          = string
    gateway_subnet_id = string
    asn               = optional(number, 64514)
  })
  nullable = false

  validation {
    condition     = try(endswith(var.azure.gateway_subnet_id, "/subnets/GatewaySubnet"), false)
    error_message = "Azure puts a gateway into a subnet called GatewaySubnet only."
  }

  validation {
    condition     = length(distinct([var.aws.asn, var.gcp.asn, var.azure.asn])) == 3 && alltrue([for asn in [var.aws.asn, var.gcp.asn, var.azure.asn] : asn >= 64512 && asn <= 65514])
    error_message = "The three clouds have three different private numbers, 64512 to 65514: Azure keeps those from 65515 on."
  }
}

variable "gcp_azure_secret" {
  description = "Secret that Google Cloud and Azure share; AWS makes those of its own tunnels. It stands in the state."
  type        = string
  sensitive   = true
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9]{32,64}$", var.gcp_azure_secret))
    error_message = "The secret is 32 to 64 letters and digits."
  }
}
