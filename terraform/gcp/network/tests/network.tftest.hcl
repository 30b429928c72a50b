variables {
  project_id = "acme-123"
  region     = "europe-west1"
  name       = "acme-dev"
  tags       = { project = "acme", environment = "dev", team = "risk", cost-centre = "7" }
}

run "dev" {
  assert {
    condition     = google_compute_network.this.auto_create_subnetworks == false
    error_message = "No subnetwork that nobody asked for."
  }

  assert {
    condition     = length(output.egress_addresses) == 1 && google_compute_router_nat.this.nat_ip_allocate_option == "MANUAL_ONLY"
    error_message = "Egress comes from one fixed address."
  }

  assert {
    condition     = alltrue([for one in [google_compute_subnetwork.nodes, google_compute_subnetwork.machines] : one.private_ip_google_access])
    error_message = "Google's APIs are reached without a public address."
  }

  assert {
    condition     = google_compute_subnetwork.nodes.log_config[0].flow_sampling == 0.1
    error_message = "Flows are logged, a tenth of them."
  }

  assert {
    condition     = output.pods_range_name == "pods" && output.services_range_name == "services"
    error_message = "Pods and services have secondary ranges."
  }

  assert {
    condition = output.ranges == {
      pods      = "10.66.0.0/15"
      peered    = "10.65.0.0/16"
      nodes     = "10.64.0.0/20"
      services  = "10.64.16.0/20"
      machines  = "10.64.32.0/22"
      proxies   = "10.64.40.0/23"
      endpoints = "10.64.48.0/24"
    }
    error_message = "The range is cut into parts that do not overlap."
  }

  assert {
    condition     = google_compute_global_address.peered.address == "10.65.0.0" && google_compute_global_address.peered.prefix_length == 16
    error_message = "Google's own services get their part of the range."
  }

  assert {
    condition     = google_compute_firewall.deny_ingress.source_ranges == toset(["0.0.0.0/0"]) && one(google_compute_firewall.deny_ingress.deny).protocol == "all"
    error_message = "What no rule lets in is refused and logged."
  }

  assert {
    condition     = length(google_compute_firewall.ssh_through_iap) == 0 && !contains(google_compute_firewall.health_checks.source_ranges, "0.0.0.0/0")
    error_message = "Nobody comes in from the internet."
  }

  assert {
    condition     = google_compute_address.nat[0].labels == tomap({ project = "acme", environment = "dev", team = "risk", cost-centre = "7", managed-by = "mcml" })
    error_message = "Everything that takes labels has them."
  }

  assert {
    condition     = alltrue([for one in google_project_service.this : !one.disable_on_destroy])
    error_message = "An API stays on for those who use it too."
  }
}

run "prod" {
  variables {
    profile         = "prod"
    ssh_through_iap = true
    cidr            = "172.16.0.0/16"
  }

  assert {
    condition     = length(output.egress_addresses) == 2 && google_compute_subnetwork.nodes.log_config[0].flow_sampling == 0.5
    error_message = "Production has two egress addresses, and half of its flows are logged."
  }

  assert {
    condition     = google_compute_firewall.ssh_through_iap[0].source_ranges == toset(["35.235.240.0/20"])
    error_message = "SSH comes from Identity-Aware Proxy only."
  }

  assert {
    condition     = output.ranges.pods == "172.16.128.0/17" && output.ranges.endpoints == "172.16.12.0/26"
    error_message = "A smaller range is cut the same way."
  }
}

run "a_public_range_is_refused" {
  command = plan

  variables {
    cidr = "8.0.0.0/12"
  }

  expect_failures = [var.cidr]
}
