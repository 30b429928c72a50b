terraform {
  # Terraform 1.11 or OpenTofu 1.10: write-only arguments and ephemeral values, which the cloud modules beside this one rely on.
  required_version = ">= 1.10"
}
