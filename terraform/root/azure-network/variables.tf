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

variable "subscription_id" {
  description = "Id of the Azure subscription."
  type        = string
  nullable    = false
}

variable "location" {
  description = "Azure region in its short form, such as westeurope."
  type        = string
  nullable    = false
}

variable "tenant_id" {
  description = "Id of the Entra tenant; null for the one that is signed in to."
  type        = string
  default     = null
}

variable "settings" {
  description = "Other variables of the module by name, see below; a name that there is not is refused."
  type        = any
  default     = {}
}
