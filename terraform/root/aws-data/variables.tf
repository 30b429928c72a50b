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

variable "region" {
  description = "AWS region, such as eu-central-1."
  type        = string
  nullable    = false
}

variable "login" {
  description = "Who Terraform is at AWS: a profile of the shared configuration, a role that is taken on, and the only account that may be changed. Not set: whom AWS's own environment variables name."
  type = object({
    profile    = optional(string)
    role_arn   = optional(string)
    account_id = optional(string)
  })
  default  = {}
  nullable = false
}

variable "settings" {
  description = "Other variables of the module by name, see below; a name that there is not is refused."
  type        = any
  default     = {}
}

variable "network" {
  description = "What unit `aws-network` says: its output of this name."
  type = object({
    vpc_id              = string
    database_subnet_ids = list(string)
    alarm_topic_arn     = string
  })
}

variable "cluster" {
  description = "What unit `aws-cluster` says: its output of this name; null without that unit."
  type = object({
    security_group_id = string
  })
  default = null
}
