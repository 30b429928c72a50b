variable "project" {
  description = "Name of the project: the first part of every name, and a tag of everything."
  type        = string
}

variable "environment" {
  description = "Name of the environment: the second part of every name, and a tag of everything."
  type        = string
}

variable "part" {
  description = "What tells several installations of one project and environment apart: the last part of every name; null for none."
  type        = string
  default     = null
}

variable "team" {
  description = "Team that answers for it: a tag of everything."
  type        = string
}

variable "cost_centre" {
  description = "Cost centre that pays for it: a tag of everything."
  type        = string
}

variable "more_tags" {
  description = "Further tags of everything."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "profile" {
  description = "What the sizes, the redundancy and the deletion protection are made for: `dev` or `prod`."
  type        = string
  default     = "dev"
  nullable    = false
}

variable "aws_region" {
  description = "AWS region, such as eu-central-1."
  type        = string
  nullable    = false
}

variable "aws_login" {
  description = "Who Terraform is at AWS: a profile of the shared configuration, a role that is taken on, and the only account that may be changed. Not set: whom AWS's own environment variables name."
  type = object({
    profile    = optional(string)
    role_arn   = optional(string)
    account_id = optional(string)
  })
  default  = {}
  nullable = false
}

variable "gcp_project_id" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "gcp_region" {
  description = "Google Cloud region, such as europe-west1."
  type        = string
  nullable    = false
}

variable "gcp_login" {
  description = "Who Terraform is at Google: the service account that it acts as. Not set: whoever is signed in."
  type        = object({ impersonate_service_account = optional(string) })
  default     = {}
  nullable    = false
}

variable "azure_subscription_id" {
  description = "Id of the Azure subscription."
  type        = string
  nullable    = false
}

variable "azure_tenant_id" {
  description = "Id of the Entra tenant; null for the one that is signed in to."
  type        = string
  default     = null
}

variable "settings" {
  description = "Other variables of the module by name, see below; a name that there is not is refused."
  type        = any
  default     = {}
}

variable "aws" {
  description = "What unit `aws-network` says: its output `network`."
  type = object({
    vpc_id                  = string
    private_route_table_ids = list(string)
  })
}

variable "gcp" {
  description = "What unit `gcp-network` says: its output `network`."
  type = object({
    network_id = string
  })
}

variable "azure" {
  description = "What unit `azure-network` says: its output `network`. It has a subnet for the gateway with the setting `gateway_subnet = true`."
  type = object({
    resource_group    = string
    location          = string
    gateway_subnet_id = string
  })
}

variable "gcp_azure_secret" {
  description = "Secret that Google Cloud and Azure share, 32 to 64 letters and digits. It stands in the plan and in the state."
  type        = string
  sensitive   = true
  nullable    = false
}
