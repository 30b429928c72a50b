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
  tags = { Project = "acme", Environment = "prod", Team = "ml" }
}

resource "azurerm_resource_group" "main" {
  name     = "acme-prod"
  location = "West Europe"
  tags     = local.tags
}


resource "azurerm_storage_account" "lake" {
  name                            = "acmelake"
  resource_group_name             = azurerm_resource_group.main.name
  location                        = "westeurope"
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  allow_nested_items_to_be_public = true
  tags                            = local.tags
}

resource "azurerm_storage_container" "models" {
  name                  = "models"
  storage_account_id    = azurerm_storage_account.lake.id
  container_access_type = "blob"
}

resource "azurerm_mssql_server" "main" {
  name                = "acme"
  resource_group_name = azurerm_resource_group.main.name
  location            = "westeurope"
  version             = "12.0"
  tags                = local.tags
}

resource "azurerm_mssql_database" "main" {
  name                                = "acme"
  server_id                           = azurerm_mssql_server.main.id
  sku_name                            = "GP_S_Gen5_2"
  transparent_data_encryption_enabled = false
  tags                                = local.tags
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

resource "azurerm_mssql_firewall_rule" "all" {
  name             = "all"
  server_id        = azurerm_mssql_server.main.id
  start_ip_address = "0.0.0.0"
  end_ip_address   = "255.255.255.255"
}
