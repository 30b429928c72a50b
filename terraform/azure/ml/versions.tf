terraform {
  # 1.11: write-only arguments and ephemeral values. 1.9: a validation may look at another variable.
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }

    # What azurerm 4.55 cannot say of a workspace: that it signs in to its storage with its identity.
    azapi = {
      source  = "Azure/azapi"
      version = "~> 2.13"
    }
  }
}
