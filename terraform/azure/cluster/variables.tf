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

variable "resource_group" {
  description = "Name of the resource group to build in: an output of the network."
  type        = string
}

variable "profile" {
  description = "`dev` (small, one zone, nothing protected) or `prod` (larger, spread over zones, protected from deletion)."
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

variable "subnet_id" {
  description = "Id of the subnet of the nodes and of internal load balancers; its way out must be a NAT gateway."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes, for example `1.33`; null for what AKS recommends on the day. Patches come by themselves."
  type        = string
  default     = null

  validation {
    condition     = var.kubernetes_version == null ? true : can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "A version of Kubernetes is named by its minor version, for example 1.33: patches come by themselves."
  }
}

variable "private" {
  description = "Whether the API server has a private address only. If not, `authorized_ranges` says who reaches it."
  type        = bool
  default     = true
  nullable    = false
}

variable "authorized_ranges" {
  description = "IPv4 ranges that reach the API server of a cluster that is not private."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.authorized_ranges : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "An authorized range is an IPv4 range such as 203.0.113.0/24, and not the whole internet."
  }

  validation {
    condition     = var.private != (length(var.authorized_ranges) > 0)
    error_message = "A private cluster has no authorized ranges, and a public one must name who reaches it."
  }
}

variable "private_name_in_public_dns" {
  description = "Whether public DNS resolves the name of a private API server (to its private address): for operators who come by VPN and ask no private DNS."
  type        = bool
  default     = false
  nullable    = false
}

variable "pod_range" {
  description = "IPv4 range of the pods, which is seen inside the cluster only."
  type        = string
  default     = "10.244.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.pod_range, 0))
    error_message = "The range of the pods is an IPv4 range, for example 10.244.0.0/16."
  }
}

variable "service_range" {
  description = "IPv4 range of the services, which is seen inside the cluster only."
  type        = string
  default     = "10.245.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.service_range, 10))
    error_message = "The range of the services is an IPv4 range with at least eleven addresses, for example 10.245.0.0/16."
  }
}

variable "zones" {
  description = "Zones of the general and ml nodes; null for none in dev, all three in prod."
  type        = set(string)
  default     = null

  validation {
    condition     = var.zones == null ? true : alltrue([for zone in var.zones : contains(["1", "2", "3"], zone)])
    error_message = "A zone is 1, 2 or 3."
  }
}

variable "general" {
  description = "Pool of the cluster's own pods and of everything else: machine, nodes, GB of disk. What is left out follows the profile."
  type = object({
    machine         = optional(string)
    min             = optional(number)
    max             = optional(number)
    disk_gb         = optional(number, 128)
    host_encryption = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = try(var.general.min >= 1, true) && try(var.general.max >= var.general.min, true)
    error_message = "The general pool never has fewer than 1 node (the cluster's own pods run on it), nor a maximum below its minimum."
  }
}

variable "ml" {
  description = "Pool of training and of models on CPUs: machine, nodes, whether they are spot machines, labels, taints. What is left out follows the profile."
  type = object({
    machine         = optional(string)
    min             = optional(number)
    max             = optional(number)
    disk_gb         = optional(number, 256)
    spot            = optional(bool, false)
    labels          = optional(map(string), {})
    taints          = optional(list(string), [])
    host_encryption = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = try(var.ml.min >= 0, true) && try(var.ml.max >= coalesce(var.ml.min, 0), true)
    error_message = "The ml pool has 0 nodes or more, and no maximum below its minimum."
  }

  validation {
    condition     = alltrue([for taint in var.ml.taints : can(regex("^[^=:]+=[^=:]*:(NoSchedule|PreferNoSchedule|NoExecute)$", taint))])
    error_message = "A taint is written key=value:NoSchedule (or PreferNoSchedule, NoExecute)."
  }
}

variable "gpu" {
  description = "Pool of NVIDIA machines, empty until a pod asks for one: machine, nodes, whether they are spot machines, zones that have the machine, labels, further taints."
  type = object({
    machine         = optional(string)
    max             = optional(number)
    disk_gb         = optional(number, 256)
    spot            = optional(bool, false)
    zones           = optional(set(string), [])
    labels          = optional(map(string), {})
    taints          = optional(list(string), [])
    host_encryption = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = try(can(regex("^Standard_N[CDV]", var.gpu.machine)), true) || var.gpu.machine == null
    error_message = "A machine with NVIDIA GPUs is of the series NC, ND or NV, for example Standard_NC4as_T4_v3."
  }

  validation {
    condition     = try(var.gpu.max >= 1, true)
    error_message = "The gpu pool may have 1 node or more; it scales from 0."
  }

  validation {
    condition     = alltrue([for taint in var.gpu.taints : can(regex("^[^=:]+=[^=:]*:(NoSchedule|PreferNoSchedule|NoExecute)$", taint))])
    error_message = "A taint is written key=value:NoSchedule (or PreferNoSchedule, NoExecute)."
  }
}

variable "admin_group_ids" {
  description = "Object ids of the Entra groups that administer the cluster. There is no other administrator: local accounts are disabled."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.admin_group_ids) > 0 && alltrue([for id in var.admin_group_ids : can(regex("^[0-9a-f-]{36}$", id))])
    error_message = "At least one Entra group, by its object id (a UUID): without it nobody could administer the cluster."
  }
}

variable "deployers" {
  description = "Who may deploy into which namespaces, by a name of your choice: object id and type (User, Group, ServicePrincipal) of each."
  type = map(object({
    principal_id   = string
    principal_type = optional(string, "ServicePrincipal")
    namespaces     = set(string)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.deployers) : contains(["User", "Group", "ServicePrincipal"], one.principal_type) && length(one.namespaces) > 0])
    error_message = "A deployer is a User, a Group or a ServicePrincipal, with at least one namespace."
  }
}

variable "workloads" {
  description = "Workload identities by name: the service account that may act as each. What each may do is granted by the data layer."
  type = map(object({
    namespace       = string
    service_account = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.workloads) : can(regex("^[a-z][a-z0-9-]{0,30}$", name))])
    error_message = "The name of a workload is at most 31 lower-case letters, digits and dashes, and starts with a letter."
  }
}

variable "log_workspace_id" {
  description = "Id of the Log Analytics workspace of the control plane's and the pods' logs."
  type        = string
}

variable "log_private_link_scope" {
  description = "Name of the private link scope by which the nodes reach the log workspace: an output of the network."
  type        = string
}

variable "disk_encryption_set_id" {
  description = "Disk encryption set with a key of your own for the disks of nodes and volumes; null for a key of Azure's. Disks are encrypted either way."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether a lock keeps the cluster from being deleted; null for no in dev, yes in prod."
  type        = bool
  default     = null
}
