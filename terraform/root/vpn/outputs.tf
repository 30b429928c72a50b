output "vpn" {
  description = "All that the module of the connections says."
  value       = module.vpn
}
