# A workspace on the network and the stores of the modules beside this one, whose outputs stand here as they were.
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

module "ml" {
  source = "../.."

  name                   = "acme-dev-weu"
  location               = "westeurope"
  resource_group         = "acme-dev-weu-rg"
  endpoint_subnet_id     = "${local.group}/Microsoft.Network/virtualNetworks/acme-dev-weu-vnet/subnets/endpoints"
  job_subnet_id          = "${local.group}/Microsoft.Network/virtualNetworks/acme-dev-weu-vnet/subnets/jobs"
  log_workspace_id       = "${local.group}/Microsoft.OperationalInsights/workspaces/acme-dev-weu-logs"
  log_private_link_scope = "acme-dev-weu-logs"
  registry_id            = "${local.group}/Microsoft.ContainerRegistry/registries/acmedevweuacr0123ab"
  model_account_id       = "${local.group}/Microsoft.Storage/storageAccounts/acmedevweumodels0123ab"
  lake_account_id        = "${local.group}/Microsoft.Storage/storageAccounts/acmedevweulake0123ab"

  private_dns_zone_ids = {
    blob         = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    file         = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.file.core.windows.net"
    vault        = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"
    ml           = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.api.azureml.ms"
    ml_notebooks = "${local.group}/Microsoft.Network/privateDnsZones/privatelink.notebooks.azure.net"
  }

  data_sets = {
    curated = "${local.group}/Microsoft.Storage/storageAccounts/acmedevweulake0123ab/blobServices/default/containers/curated"
  }

  scientists = {
    risk = { principal_id = "00000000-0000-0000-0000-000000000008" }
  }

  tags = {
    project     = "acme"
    environment = "dev"
    team        = "risk"
    cost-centre = "7"
  }
}

output "ml" {
  description = "What the caller is given."
  value       = module.ml
}
