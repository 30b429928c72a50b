terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }

    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }

    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 7"
    }
  }
}
