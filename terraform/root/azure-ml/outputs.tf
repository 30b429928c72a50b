output "ml" {
  description = "All that the module of the machine-learning services says."
  value       = module.ml
}
