# A small cluster in the network of the module beside this one, whose outputs stand here as they were.
# Sign in with `az login`, name the subscription in ARM_SUBSCRIPTION_ID, and once:
#   az feature register --namespace Microsoft.Compute --name EncryptionAtHost
terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }
}

provider "azurerm" {
  features {}
}

locals {
  network = {
    location               = "westeurope"
    resource_group         = "acme-dev-weu-rg"
    nodes                  = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/acme-dev-weu-rg/providers/Microsoft.Network/virtualNetworks/acme-dev-weu-vnet/subnets/nodes"
    log_workspace_id       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/acme-dev-weu-rg/providers/Microsoft.OperationalInsights/workspaces/acme-dev-weu-logs"
    log_private_link_scope = "acme-dev-weu-logs"
  }

  tags = {
    project     = "acme"
    environment = "dev"
    team        = "risk"
    cost-centre = "7"
  }
}

module "cluster" {
  source = "../.."

  name                   = "acme-dev-weu"
  location               = local.network.location
  resource_group         = local.network.resource_group
  subnet_id              = local.network.nodes
  log_workspace_id       = local.network.log_workspace_id
  log_private_link_scope = local.network.log_private_link_scope
  admin_group_ids        = ["00000000-0000-0000-0000-000000000001"]

  ml  = { spot = true }
  gpu = { spot = true, max = 2 }

  deployers = {
    ci = { principal_id = "00000000-0000-0000-0000-000000000002", namespaces = ["models"] }
  }
  workloads = {
    fraud = { namespace = "models", service_account = "fraud" }
  }

  tags = local.tags
}

output "cluster" {
  description = "What the other layers are given."
  value       = module.cluster
}
