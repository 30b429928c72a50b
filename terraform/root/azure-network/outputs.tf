output "network" {
  description = "All that the module of the network says."
  value       = module.network
}
