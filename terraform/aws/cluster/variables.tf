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

variable "subnet_ids" {
  description = "Private subnets of the control plane's network interfaces and of the nodes, in at least two zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A cluster needs subnets in at least two zones."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  default     = "1.33"
  nullable    = false

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "A version is major and minor, such as 1.33."
  }
}

variable "public_access_cidrs" {
  description = "Addresses from which the Kubernetes API is reached over the internet; empty: from inside the VPC only."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]), 0) >= 8])
    error_message = "The Kubernetes API is not opened to the whole internet: name the addresses that need it, each a range of /8 or smaller."
  }
}

variable "administrators" {
  description = "Roles or users (ARNs) that may do everything in the cluster, by a name of yours. Whoever creates the cluster is not one by itself."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.administrators) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "An administrator is the ARN of an IAM role or user."
  }
}

variable "access" {
  description = "Other roles or users: their ARN, an access policy of EKS (`AmazonEKSViewPolicy`, `AmazonEKSEditPolicy`, `AmazonEKSAdminPolicy`), and its namespaces (empty: all)."
  type = map(object({
    principal_arn = string
    policy        = optional(string, "AmazonEKSViewPolicy")
    namespaces    = optional(set(string), [])
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.access) : contains(["AmazonEKSViewPolicy", "AmazonEKSEditPolicy", "AmazonEKSAdminPolicy"], one.policy)])
    error_message = "An access policy is AmazonEKSViewPolicy, AmazonEKSEditPolicy or AmazonEKSAdminPolicy; who may do everything is an administrator."
  }
}

variable "general" {
  description = "Node group of everything that is neither trained nor served. Sizes that are not set: 1 to 3 nodes in dev, 3 to 6 in prod."
  type = object({
    instance_types = optional(list(string), ["m7i.large", "m6i.large", "m6a.large"])
    min            = optional(number)
    max            = optional(number)
    spot           = optional(bool, false)
    disk_gib       = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition     = length(var.general.instance_types) > 0 && coalesce(var.general.min, 1) >= 1 && coalesce(var.general.max, var.general.min, 1) >= coalesce(var.general.min, 1)
    error_message = "The general group has an instance type, at least one node, and no fewer at most than at least."
  }
}

variable "ml" {
  description = "Node group of models on CPUs, labelled `mcml/pool=ml`. Sizes that are not set: 0 to 4 spot nodes in dev, 2 to 10 on demand in prod."
  type = object({
    instance_types = optional(list(string), ["c7i.2xlarge", "c6i.2xlarge", "c6a.2xlarge"])
    min            = optional(number)
    max            = optional(number)
    spot           = optional(bool)
    disk_gib       = optional(number, 100)
  })
  default  = {}
  nullable = false

  validation {
    condition     = length(var.ml.instance_types) > 0 && coalesce(var.ml.min, 0) >= 0 && coalesce(var.ml.max, var.ml.min, 1) >= coalesce(var.ml.min, 0)
    error_message = "The ml group has an instance type, and no fewer nodes at most than at least."
  }
}

variable "gpu" {
  description = "Node group of models on GPUs, tainted `nvidia.com/gpu=present:NoSchedule`; it starts with no node. Sizes that are not set: 0 to 2 spot nodes in dev, 0 to 8 on demand in prod."
  type = object({
    instance_types = optional(list(string), ["g5.xlarge", "g6.xlarge"])
    min            = optional(number, 0)
    max            = optional(number)
    spot           = optional(bool)
    disk_gib       = optional(number, 200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = length(var.gpu.instance_types) > 0 && var.gpu.min >= 0 && coalesce(var.gpu.max, var.gpu.min) >= var.gpu.min
    error_message = "The gpu group has an instance type, and no fewer nodes at most than at least."
  }
}

variable "manage_addons" {
  description = "Keep network, DNS, disks and pod identity in the cluster as add-ons of EKS. False where something else keeps them, or an emulator of AWS knows none."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "Days for which the control plane's logs are kept. Not set: 365 in prod, 30 in dev."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null || contains([7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], coalesce(var.log_retention_days, 30))
    error_message = "CloudWatch keeps logs for 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 days."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms are sent to; not set: alarms are kept in CloudWatch only."
  type        = string
  default     = null
}
