output "name" {
  description = "Prefix of all names (PROJECT-ENVIRONMENT-PART), at most 20 characters: the `name` of every module, on every cloud."
  value       = local.name
}

output "plain_name" {
  description = "The same without dashes, for what takes none, such as Azure's storage accounts and registries."
  value       = replace(local.name, "-", "")
}

output "tags" {
  description = "The `tags` of every module: tags on AWS and Azure, labels on Google Cloud. Each module adds `managed-by`."
  value       = local.tags
}
