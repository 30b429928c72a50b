variable "name" {
  description = "Prefix of all names, such as `acme-prod`: one project in one environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 28
    error_message = "A name is at most 28 lower-case letters, digits and single dashes, and begins with a letter: names of buckets and roles are made from it."
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

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that SageMaker's jobs and endpoints have their network interfaces in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "SageMaker needs a private subnet: without one its containers stand outside of the VPC."
  }
}

variable "buckets" {
  description = "ARNs of the buckets `models` and `data`."
  type        = object({ models = string, data = string })

  validation {
    condition     = alltrue([for arn in values(var.buckets) : can(regex("^arn:[a-z-]+:s3:::", arn))])
    error_message = "A bucket is named by its ARN, such as arn:aws:s3:::acme-models."
  }
}

variable "kms_key_arn" {
  description = "Key that the buckets and the images are encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "The key is named by its ARN."
  }
}

variable "repository_arns" {
  description = "Image repositories that SageMaker takes its containers from."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.repository_arns : can(regex("^arn:[a-z-]+:ecr:", arn))])
    error_message = "A repository is named by its ARN."
  }
}

variable "model_groups" {
  description = "Groups of SageMaker's model registry, one a model."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for one in var.model_groups : can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,34}$", one))])
    error_message = "A model group is letters, digits and dashes, at most 35, with no dash at either end."
  }
}

variable "cluster" {
  description = "The EKS cluster that the workloads run in; `oidc_provider_arn` and `oidc_issuer` (without https://) are needed by the identity `irsa` only. Null: no workloads."
  type = object({
    name              = string
    oidc_provider_arn = optional(string)
    oidc_issuer       = optional(string)
  })
  default = null
}

variable "workloads" {
  description = "Service accounts in the cluster with a role of their own, by name: where they are, and which of the buckets `models` and `data` they read and write."
  type = map(object({
    namespace       = string
    service_account = string
    reads           = optional(set(string), [])
    writes          = optional(set(string), [])
    identity        = optional(string, "pod-identity")
  }))
  default = {
    serving  = { namespace = "models", service_account = "serving", reads = ["models"] }
    training = { namespace = "models", service_account = "training", reads = ["data", "models"], writes = ["models"] }
  }
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.workloads) : alltrue([for kind in setunion(one.reads, one.writes) : contains(["models", "data"], kind)])])
    error_message = "A workload reads and writes the buckets models and data."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : contains(["pod-identity", "irsa"], one.identity)])
    error_message = "A workload's identity is pod-identity or irsa."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : !strcontains("${one.namespace}${one.service_account}", "*")])
    error_message = "A role is for one service account in one namespace: no asterisk."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : one.identity != "irsa" || var.cluster == null || try(length(var.cluster.oidc_provider_arn) > 0 && length(var.cluster.oidc_issuer) > 0, false)])
    error_message = "A workload with the identity irsa needs the cluster's oidc_provider_arn and oidc_issuer."
  }

  validation {
    condition     = alltrue([for name in keys(var.workloads) : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", name)) && length(name) <= 24])
    error_message = "The name of a workload is at most 24 lower-case letters, digits and single dashes."
  }
}
