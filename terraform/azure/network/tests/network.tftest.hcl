# Run by the test suite with a stub provider that serves the real provider's schema.
variables {
  name     = "acme-test-weu"
  location = "westeurope"
  tags     = { project = "acme", environment = "test", team = "risk", cost-centre = "7" }
}

run "dev" {
  assert {
    condition     = azurerm_virtual_network.this.tags == tomap({ project = "acme", environment = "test", team = "risk", cost-centre = "7", managed-by = "mcml" })
    error_message = "The caller's tags and ours are on the network."
  }

  assert {
    condition = { for name, subnet in azurerm_subnet.this : name => one(subnet.address_prefixes) } == {
      nodes = "10.30.0.0/20", endpoints = "10.30.16.0/22", jobs = "10.30.32.0/20"
    }
    error_message = "The subnets are cut out of the network and do not overlap."
  }

  assert {
    condition     = alltrue([for subnet in azurerm_subnet.this : subnet.default_outbound_access_enabled == false])
    error_message = "Nothing goes out past the NAT gateway."
  }

  assert {
    condition     = keys(azurerm_subnet_network_security_group_association.this) == ["endpoints", "jobs", "nodes"]
    error_message = "Every subnet has a security group."
  }

  assert {
    condition     = azurerm_subnet.this["endpoints"].private_endpoint_network_policies == "Enabled"
    error_message = "The security group rules the private endpoints too."
  }

  assert {
    condition     = toset(azurerm_network_security_rule.endpoints_clients.source_address_prefixes) == toset(["10.30.0.0/20", "10.30.32.0/20"])
    error_message = "Only nodes and jobs reach the private endpoints."
  }

  assert {
    condition = { for subnet, rule in azurerm_network_security_rule.nobody_else : subnet => rule.access } == { endpoints = "Deny", jobs = "Deny" } && alltrue([
      for rule in azurerm_network_security_rule.jobs : rule.priority < azurerm_network_security_rule.nobody_else["jobs"].priority
    ])
    error_message = "Everyone else is turned away."
  }

  assert {
    condition     = length(azurerm_network_security_rule.nodes_public_ingress) == 0 && length(azurerm_public_ip.nat) == 1
    error_message = "The only public address is the NAT gateway's; nothing comes in from the internet."
  }

  assert {
    condition     = keys(output.private_dns_zone_ids) == keys(azurerm_private_dns_zone_virtual_network_link.this) && length(output.private_dns_zone_ids) == 13
    error_message = "Every private zone is linked to the network."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.retention_in_days == 30 && azurerm_log_analytics_workspace.this.daily_quota_gb == 5
    error_message = "Logs of dev are small."
  }

  assert {
    condition     = !azurerm_log_analytics_workspace.this.local_authentication_enabled && !azurerm_log_analytics_workspace.this.internet_ingestion_enabled && !azurerm_log_analytics_workspace.this.internet_query_enabled
    error_message = "Logs are reached by Entra identities from inside the network only."
  }

  assert {
    condition     = azurerm_monitor_private_link_scope.this.ingestion_access_mode == "PrivateOnly"
    error_message = "Logs come in by the private endpoint."
  }

  assert {
    condition     = output.gateway_subnet_id == null && length(azurerm_network_watcher_flow_log.this) == 0
    error_message = "What is not asked for is not made."
  }
}

run "prod_with_everything" {
  command = plan

  variables {
    profile                   = "prod"
    address_space             = "10.64.0.0/20"
    gateway_subnet            = true
    trusted_ranges            = ["10.128.0.0/16"]
    log_queries_from_internet = true
    nat_zone                  = "2"
    public_ingress            = { ports = [443], sources = ["203.0.113.0/24"] }
    flow_logs                 = { storage_account_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/flows", network_watcher = "NetworkWatcher_westeurope" }
  }

  assert {
    condition     = length(azurerm_public_ip.nat) == 2 && toset(azurerm_public_ip.nat[0].zones) == toset(["2"]) && toset(azurerm_nat_gateway.this.zones) == toset(["2"])
    error_message = "Two addresses, in the gateway's zone."
  }

  assert {
    condition     = one(azurerm_subnet.gateway[0].address_prefixes) == "10.64.1.64/27" && azurerm_subnet.gateway[0].name == "GatewaySubnet"
    error_message = "The VPN gateway has its subnet."
  }

  assert {
    condition     = contains(azurerm_network_security_rule.endpoints_clients.source_address_prefixes, "10.128.0.0/16")
    error_message = "Trusted ranges reach the private endpoints."
  }

  assert {
    condition     = toset(azurerm_network_security_rule.nodes_public_ingress[0].source_address_prefixes) == toset(["203.0.113.0/24"]) && toset(azurerm_network_security_rule.nodes_public_ingress[0].destination_port_ranges) == toset(["443"])
    error_message = "Public ingress is what was asked for and no more."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.retention_in_days == 90 && azurerm_log_analytics_workspace.this.daily_quota_gb == -1
    error_message = "Logs of prod are kept for 90 days, without a limit."
  }

  assert {
    condition     = azurerm_network_watcher_flow_log.this[0].retention_policy[0].days == 90 && azurerm_network_watcher_flow_log.this[0].resource_group_name == "NetworkWatcherRG"
    error_message = "Flow logs are kept for 90 days."
  }
}

run "names_are_checked" {
  command = plan

  variables {
    name          = "Acme_"
    location      = "West Europe"
    profile       = "staging"
    tags          = { project = "acme" }
    address_space = "10.0.0.0/24"
  }

  expect_failures = [var.name, var.location, var.profile, var.tags, var.address_space]
}

run "the_internet_is_not_trusted" {
  command = plan

  variables {
    trusted_ranges     = ["0.0.0.0/0"]
    public_ingress     = { ports = [22], sources = ["203.0.113.0/24"] }
    nat_addresses      = 17
    nat_zone           = "4"
    log_retention_days = 7
  }

  expect_failures = [var.trusted_ranges, var.public_ingress, var.nat_addresses, var.nat_zone, var.log_retention_days]
}
