terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "4.55.0"
    }
  }
}

provider "azurerm" {
  features {}
}

locals {
  tags = { Project = "acme", Environment = "prod", Team = "ml", CostCenter = "4711" }
}

resource "azurerm_resource_group" "main" {
  name     = "acme-prod"
  location = "West Europe"
  tags     = local.tags
}

resource "azurerm_management_lock" "group" {
  name       = "keep"
  scope      = azurerm_resource_group.main.id
  lock_level = "CanNotDelete"
}

resource "azurerm_storage_account" "lake" {
  name                            = "acmelake"
  resource_group_name             = azurerm_resource_group.main.name
  location                        = "westeurope"
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  allow_nested_items_to_be_public = false
  tags                            = local.tags
}

resource "azurerm_storage_container" "models" {
  name                  = "models"
  storage_account_id    = azurerm_storage_account.lake.id
  container_access_type = "private"
}

resource "azurerm_mssql_server" "main" {
  name                          = "acme"
  resource_group_name           = azurerm_resource_group.main.name
  location                      = "westeurope"
  version                       = "12.0"
  public_network_access_enabled = false
  tags                          = local.tags
}

resource "azurerm_mssql_database" "main" {
  name      = "acme"
  server_id = azurerm_mssql_server.main.id
  sku_name  = "GP_S_Gen5_2"
  tags      = local.tags
}

resource "azurerm_kubernetes_cluster" "main" {
  name                = "acme"
  resource_group_name = azurerm_resource_group.main.name
  location            = "westeurope"
  dns_prefix          = "acme"
  sku_tier            = "Standard"
  tags                = local.tags

  default_node_pool {
    name       = "general"
    vm_size    = "Standard_D4s_v5"
    node_count = 2
  }

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "gpu" {
  name                  = "gpu"
  kubernetes_cluster_id = azurerm_kubernetes_cluster.main.id
  vm_size               = "Standard_NC4as_T4_v3"
  auto_scaling_enabled  = true
  min_count             = 1
  max_count             = 3
  tags                  = local.tags
}
