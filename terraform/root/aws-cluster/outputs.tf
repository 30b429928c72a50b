output "cluster" {
  description = "All that the module of the cluster says."
  value       = module.cluster
}
