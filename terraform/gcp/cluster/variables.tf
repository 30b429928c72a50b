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

variable "subnetwork_id" {
  description = "Id of the nodes' subnetwork (projects/PROJECT/regions/REGION/subnetworks/NAME)."
  type        = string
  nullable    = false
}

variable "pods_range_name" {
  description = "Name of the subnetwork's secondary range for pods."
  type        = string
  default     = "pods"
  nullable    = false
}

variable "services_range_name" {
  description = "Name of the subnetwork's secondary range for services."
  type        = string
  default     = "services"
  nullable    = false
}

variable "zones" {
  description = "Zones of the nodes; empty: three zones of the region that GKE chooses. The control plane is regional anyway."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, "${var.region}-")]) && length(var.zones) == length(distinct(var.zones))
    error_message = "The zones are different ones of the region."
  }
}

variable "release_channel" {
  description = "Channel of GKE releases, which the control plane and the nodes follow by themselves: RAPID, REGULAR, STABLE or EXTENDED."
  type        = string
  default     = "REGULAR"
  nullable    = false

  validation {
    condition     = contains(["RAPID", "REGULAR", "STABLE", "EXTENDED"], var.release_channel)
    error_message = "A release channel is RAPID, REGULAR, STABLE or EXTENDED: a cluster without one would not be upgraded with its nodes."
  }
}

variable "dns_endpoint" {
  description = "Reach the control plane by its DNS name, where Google asks IAM before a call gets to it; there is no IP endpoint then. False: a private IP endpoint only."
  type        = bool
  default     = true
  nullable    = false
}

variable "authorized_ranges" {
  description = "Ranges inside the network, or connected with it, that reach the private IP endpoint, by a name of yours; without `dns_endpoint` only."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for range in values(var.authorized_ranges) : can(cidrhost(range, 0)) && can(regex("^(10|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\\.", range))])
    error_message = "The control plane is not opened to public addresses: an authorized range is a private one."
  }
}

variable "security_group" {
  description = "Google group (gke-security-groups@DOMAIN) whose member groups may stand in role bindings; empty: none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(gke-security-groups@[a-z0-9.-]+)?$", var.security_group))
    error_message = "GKE knows one name only: gke-security-groups@DOMAIN."
  }
}

variable "general" {
  description = "Pool of everything that is neither trained nor served. Sizes that are not set: 1 to 3 nodes of the whole region in dev, 3 to 6 in prod."
  type = object({
    machine_type = optional(string, "e2-standard-4")
    min          = optional(number)
    max          = optional(number)
    spot         = optional(bool, false)
    disk_gib     = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition     = coalesce(var.general.min, 1) >= 1 && coalesce(var.general.max, 6) >= coalesce(var.general.min, 1)
    error_message = "The general pool has at least one node, and no fewer at most than at least."
  }
}

variable "ml" {
  description = "Pool of models on CPUs, labelled `mcml/pool=ml`. Sizes that are not set: 0 to 4 spot nodes in dev, 2 to 10 on demand in prod."
  type = object({
    machine_type = optional(string, "n2-standard-8")
    min          = optional(number)
    max          = optional(number)
    spot         = optional(bool)
    disk_gib     = optional(number, 100)
  })
  default  = {}
  nullable = false

  validation {
    condition     = coalesce(var.ml.min, 0) >= 0 && coalesce(var.ml.max, 10) >= coalesce(var.ml.min, 0)
    error_message = "The ml pool has no fewer nodes at most than at least."
  }
}

variable "gpu" {
  description = "Pool of models on GPUs, tainted `nvidia.com/gpu=present:NoSchedule`; it starts with no node. Sizes that are not set: 0 to 2 spot nodes in dev, 0 to 8 on demand in prod. A change of the driver makes the pool again."
  type = object({
    machine_type = optional(string, "g2-standard-8")
    accelerator  = optional(string, "nvidia-l4")
    count        = optional(number, 1)
    driver       = optional(string, "DEFAULT")
    zones        = optional(list(string), [])
    min          = optional(number, 0)
    max          = optional(number)
    spot         = optional(bool)
    disk_gib     = optional(number, 200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.gpu.min >= 0 && coalesce(var.gpu.max, 8) >= var.gpu.min && var.gpu.count >= 1
    error_message = "The gpu pool has no fewer nodes at most than at least, and at least one GPU a node."
  }

  validation {
    condition     = contains(["DEFAULT", "LATEST"], var.gpu.driver)
    error_message = "The GPU driver is DEFAULT or LATEST: without one that GKE installs, no pod would find the GPU."
  }
}

variable "deletion_protection" {
  description = "Refuse to destroy or replace the cluster, before any of its pools is touched. Not set: true in prod."
  type        = bool
  default     = null
}
