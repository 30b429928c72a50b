locals {
  labels = merge(var.tags, { managed-by = "mcml" })

  size = {
    dev  = { nat_addresses = 1, flow_sampling = 0.1, flow_interval = "INTERVAL_10_MIN" }
    prod = { nat_addresses = 2, flow_sampling = 0.5, flow_interval = "INTERVAL_1_MIN" }
  }[var.profile]

  # One range, cut so that any /12 to /16 works: half of it for pods, a quarter for Google's own services, the rest for us.
  ranges = {
    pods      = cidrsubnet(var.cidr, 1, 1)
    peered    = cidrsubnet(var.cidr, 2, 1)
    nodes     = cidrsubnet(var.cidr, 6, 0)
    services  = cidrsubnet(var.cidr, 6, 1)
    machines  = cidrsubnet(var.cidr, 8, 8)
    proxies   = cidrsubnet(var.cidr, 9, 20)
    endpoints = cidrsubnet(var.cidr, 10, 48)
  }

  # Google's own ranges: https://cloud.google.com/iap/docs/using-tcp-forwarding, https://cloud.google.com/load-balancing/docs/firewall-rules
  iap           = ["35.235.240.0/20"]
  health_checks = ["35.191.0.0/16", "130.211.0.0/22"]
}

resource "google_project_service" "this" {
  for_each = toset(["compute.googleapis.com", "networkconnectivity.googleapis.com", "servicenetworking.googleapis.com"])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

resource "google_compute_network" "this" {
  project                 = var.project_id
  name                    = var.name
  description             = "Made by mcml."
  auto_create_subnetworks = false
  routing_mode            = "GLOBAL"

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "nodes" {
  project                  = var.project_id
  region                   = var.region
  name                     = "${var.name}-nodes"
  description              = "Nodes of the cluster; pods and services have ranges of their own."
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.ranges.nodes
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = local.ranges.pods
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = local.ranges.services
  }

  log_config {
    aggregation_interval = local.size.flow_interval
    flow_sampling        = local.size.flow_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_subnetwork" "machines" {
  project                  = var.project_id
  region                   = var.region
  name                     = "${var.name}-machines"
  description              = "Single machines: workbenches, jobs, machines that mcml starts."
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.ranges.machines
  private_ip_google_access = true

  log_config {
    aggregation_interval = local.size.flow_interval
    flow_sampling        = local.size.flow_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_subnetwork" "endpoints" {
  project                  = var.project_id
  region                   = var.region
  name                     = "${var.name}-endpoints"
  description              = "Private Service Connect endpoints, such as the cache's."
  network                  = google_compute_network.this.id
  ip_cidr_range            = local.ranges.endpoints
  private_ip_google_access = true

  log_config {
    aggregation_interval = local.size.flow_interval
    flow_sampling        = local.size.flow_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Envoys of regional load balancers (Gateway API classes gke-l7-rilb and gke-l7-regional-external-managed). It takes no flow logs.
resource "google_compute_subnetwork" "proxies" {
  project       = var.project_id
  region        = var.region
  name          = "${var.name}-proxies"
  description   = "Proxies of regional load balancers."
  network       = google_compute_network.this.id
  ip_cidr_range = local.ranges.proxies
  purpose       = "REGIONAL_MANAGED_PROXY"
  role          = "ACTIVE"
}

resource "google_compute_router" "this" {
  project = var.project_id
  region  = var.region
  name    = var.name
  network = google_compute_network.this.id
}

resource "google_compute_address" "nat" {
  count = coalesce(var.nat_addresses, local.size.nat_addresses)

  project      = var.project_id
  region       = var.region
  name         = "${var.name}-nat-${count.index}"
  description  = "Egress of ${var.name}."
  address_type = "EXTERNAL"
  labels       = local.labels

  depends_on = [google_project_service.this]
}

resource "google_compute_router_nat" "this" {
  project                            = var.project_id
  region                             = var.region
  name                               = var.name
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = google_compute_address.nat[*].self_link
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  # A node of many pods opens many connections: ports are handed out as they are needed, which excludes endpoint-independent mapping.
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 64
  max_ports_per_vm                    = 8192

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# The network refuses all ingress anyway; this rule says in the logs what was refused. GKE and Gateway add the rules of their own.
resource "google_compute_firewall" "deny_ingress" {
  project       = var.project_id
  name          = "${var.name}-deny-ingress"
  description   = "Everything that no other rule lets in, logged."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "health_checks" {
  project       = var.project_id
  name          = "${var.name}-health-checks"
  description   = "Health checks of Google's load balancers, and their proxies, to what is tagged as a backend."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = concat(local.health_checks, [local.ranges.proxies])
  target_tags   = ["${var.name}-backend"]

  allow {
    protocol = "tcp"
  }
}

resource "google_compute_firewall" "ssh_through_iap" {
  count = var.ssh_through_iap ? 1 : 0

  project       = var.project_id
  name          = "${var.name}-ssh-through-iap"
  description   = "SSH from Identity-Aware Proxy, to what is tagged for it."
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = local.iap
  target_tags   = ["${var.name}-ssh"]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# Private services access: Cloud SQL lives in a network of Google's, which is peered with ours and takes its addresses from this range.
resource "google_compute_global_address" "peered" {
  project       = var.project_id
  name          = "${var.name}-peered"
  description   = "Google's services that are peered with this network."
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = split("/", local.ranges.peered)[0]
  prefix_length = tonumber(split("/", local.ranges.peered)[1])
  labels        = local.labels
}

# Google holds it for days after the last Cloud SQL instance is gone (README, "Destroy"). Not ABANDON: a network with a peering stays.
resource "google_service_networking_connection" "this" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.peered.name]
}

# Private Service Connect: lets Memorystore make its endpoints in our subnetwork by itself. One policy a network, region and service.
resource "google_network_connectivity_service_connection_policy" "memorystore" {
  project       = var.project_id
  location      = var.region
  name          = "${var.name}-memorystore"
  description   = "Endpoints of Memorystore."
  service_class = "gcp-memorystore"
  network       = google_compute_network.this.id
  labels        = local.labels

  psc_config {
    subnetworks = [google_compute_subnetwork.endpoints.id]
  }
}
