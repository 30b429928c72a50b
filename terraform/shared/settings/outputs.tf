# `one` of nothing is a null of any type, which each module's variable takes for one of its own.
output "given" {
  description = "The settings, once there is nothing wrong with their names; null is what was switched off."
  value       = { for name, value in var.given : name => one([for one in [value] : one if !(contains(var.switches, name) && one == false)]) }

  precondition {
    condition     = length(local.complaints) == 0
    error_message = join(" ", local.complaints)
  }
}
