# Stores of a small project, in the network of the module beside this one, whose outputs stand here as they were.
# Sign in with `az login` and name the subscription in ARM_SUBSCRIPTION_ID:
#   terraform init && terraform apply
terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
    azapi = {
      source  = "Azure/azapi"
      version = "~> 2.13"
    }
  }
}

# The accounts have neither keys nor public addresses: ask Entra, and leave the data plane alone.
provider "azurerm" {
  storage_use_azuread = true

  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }

    storage {
      data_plane_available = false
    }
  }
}

provider "azapi" {}

locals {
  group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/acme-dev-weu-rg/providers"
}

module "data" {
  source = "../.."

  name               = "acme-dev-weu"
  location           = "westeurope"
  replica_location   = "northeurope"
  resource_group     = "acme-dev-weu-rg"
  endpoint_subnet_id = "${local.group}/Microsoft.Network/virtualNetworks/acme-dev-weu-vnet/subnets/endpoints"
  log_workspace_id   = "${local.group}/Microsoft.OperationalInsights/workspaces/acme-dev-weu-logs"

  private_dns_zone_ids = {
    blob     = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    dfs      = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.dfs.core.windows.net"
    vault    = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"
    sql      = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.database.windows.net"
    redis    = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.redis.azure.net"
    registry = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.azurecr.io"
  }

  database_admin = {
    name      = "acme-dba"
    object_id = "00000000-0000-0000-0000-000000000003"
  }

  access = {
    nodes = { principal_id = "00000000-0000-0000-0000-000000000004", images = "pull" }
    fraud = { principal_id = "00000000-0000-0000-0000-000000000005", models = "read", cache = true }
  }

  tags = {
    project     = "acme"
    environment = "dev"
    team        = "risk"
    cost-centre = "7"
  }
}

output "data" {
  description = "What the other layers are given."
  value       = module.data
}
