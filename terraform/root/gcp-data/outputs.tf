output "data" {
  description = "All that the module of the data stores says."
  value       = module.data
}
