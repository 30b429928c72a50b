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
  description = "Region, such as europe-west1."
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

variable "generation" {
  description = "Ending of names that Google keeps after a destroy (key rings for ever): another one lets a destroyed environment be made again."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]{0,6}$", var.generation))
    error_message = "A generation is at most six lower-case letters and digits, or empty."
  }
}

variable "network_id" {
  description = "Id of the network (projects/PROJECT/global/networks/NAME)."
  type        = string
  nullable    = false
}

variable "machines_subnetwork_id" {
  description = "Id of the subnetwork that workbenches are in."
  type        = string
  nullable    = false
}

variable "buckets" {
  description = "Names of the buckets, by what workloads call them: `models`, `data` and others."
  type        = map(string)
  nullable    = false
}

variable "dataset_id" {
  description = "Id of the data set of features and predictions, without the project."
  type        = string
  nullable    = false
}

variable "costs_dataset_id" {
  description = "Id of the data set of costs, without the project, which mcml reads bills from; empty: none."
  type        = string
  default     = ""
  nullable    = false
}

variable "repository_id" {
  description = "Id of the image repository, without project and region."
  type        = string
  nullable    = false
}

variable "postgres_instance" {
  description = "Name of the Cloud SQL instance that workloads log in to; empty: none."
  type        = string
  default     = ""
  nullable    = false
}

variable "redis_instance" {
  description = "Name of the Memorystore instance that workloads log in to; empty: none."
  type        = string
  default     = ""
  nullable    = false
}

variable "workload_pool" {
  description = "Workload identity pool of the cluster (PROJECT.svc.id.goog), once there is a cluster: before, the pool is unknown to Google. Empty: workloads run outside of clusters only."
  type        = string
  default     = ""
  nullable    = false
}

variable "workloads" {
  description = "What runs, with a service account of its own each: the Kubernetes account that it is, which buckets it reads and writes, whether it logs in to PostgreSQL and Redis, reads or writes the data set (`none`, `read`, `write`), and calls Vertex AI or runs there."
  type = map(object({
    namespace       = string
    service_account = string
    reads           = optional(set(string), [])
    writes          = optional(set(string), [])
    postgres        = optional(bool, false)
    redis           = optional(bool, false)
    dataset         = optional(string, "none")
    vertex          = optional(bool, false)
  }))
  default = {
    serving  = { namespace = "models", service_account = "serving", reads = ["models"], redis = true }
    training = { namespace = "models", service_account = "training", reads = ["data", "models"], writes = ["models"], dataset = "read", vertex = true }
  }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.workloads) : can(regex("^[a-z][a-z0-9]{0,8}$", name)) && !contains(["mcml", "workbench", "nodes"], name)])
    error_message = "The name of a workload is at most 9 lower-case letters and digits, as that of its service account is made from it; mcml, workbench and nodes are taken."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : length(setsubtract(setunion(one.reads, one.writes), keys(var.buckets))) == 0])
    error_message = "A workload reads and writes the buckets that are named in `buckets`."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : can(regex("^[a-z0-9-]+$", one.namespace)) && can(regex("^[a-z0-9.-]+$", one.service_account))])
    error_message = "An identity is for one service account in one namespace: no asterisk."
  }

  validation {
    condition     = alltrue([for one in values(var.workloads) : contains(["none", "read", "write"], one.dataset)])
    error_message = "What a workload may do with the data set is none, read or write."
  }
}

variable "operators" {
  description = "Who may act as mcml's own service account, by a name of yours: user:EMAIL, group:EMAIL, serviceAccount:EMAIL, or principalSet://... of a pipeline's federated identity."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.operators) : can(regex("^((user|group|serviceAccount):[^@\\s]+@[^@\\s]+|principal(Set)?://iam\\.googleapis\\.com/[^*\\s]+)$", member))])
    error_message = "An operator is user:EMAIL, group:EMAIL, serviceAccount:EMAIL or a principal of a pool, and never everybody in it."
  }
}

variable "operator_roles" {
  description = "Roles on the project that mcml's own service account has beside its least: roles/container.clusterAdmin to scale pools, roles/compute.instanceAdmin.v1 to start and stop machines."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for role in var.operator_roles : startswith(role, "roles/") && !can(regex("^roles/(owner|editor|viewer|resourcemanager\\..*|iam\\..*)$", role))])
    error_message = "A role is none of the basic ones, and none that hands out roles."
  }
}

variable "workbenches" {
  description = "Vertex AI Workbench instances by name, private and encrypted; `owner` (an email) keeps one for one person, else all `workbench_users` share it. An idle one is stopped; 0: never."
  type = map(object({
    machine_type = optional(string, "e2-standard-4")
    zone         = optional(string)
    owner        = optional(string)
    disk_gib     = optional(number, 100)
    idle_minutes = optional(number)
    gpu          = optional(object({ type = string, count = optional(number, 1) }))
  }))
  default  = { lab = {} }
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.workbenches) : can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", name))])
    error_message = "The name of a workbench is 2 to 22 lower-case letters, digits and dashes, and starts with a letter."
  }

  validation {
    condition     = alltrue([for one in values(var.workbenches) : one.zone == null ? true : startswith(one.zone, "${var.region}-")])
    error_message = "A workbench is in a zone of the region."
  }

  validation {
    condition     = alltrue([for one in values(var.workbenches) : one.disk_gib >= 100 && coalesce(one.idle_minutes, 60) >= 0])
    error_message = "The data disk of a workbench has at least 100 GiB, and it is not idle for less than no time."
  }

  validation {
    condition     = alltrue([for one in values(var.workbenches) : one.gpu == null ? true : can(regex("^NVIDIA_[A-Z0-9_]+$", one.gpu.type)) && one.gpu.count >= 1])
    error_message = "A GPU is named as Vertex AI does, such as NVIDIA_TESLA_T4 or NVIDIA_L4."
  }
}

variable "workbench_users" {
  description = "Who may use the workbenches that have no owner, by a name of yours: user:EMAIL or group:EMAIL."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for member in values(var.workbench_users) : can(regex("^(user|group):[^@\\s]+@[^@\\s]+$", member))])
    error_message = "Who uses a workbench is user:EMAIL or group:EMAIL."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy the workbenches, whose disks hold what people work on. Not set: true in prod."
  type        = bool
  default     = null
}
