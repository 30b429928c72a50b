# Settings of a unit, as a root looks at them before it hands them on:
#   terraform init && terraform apply
module "settings" {
  source = "../.."

  unit     = "acme-cluster"
  given    = { version = "1.33", gpu = { max = 2 }, workloads = { serving = { reads = ["models"] } }, cache = false }
  known    = { version = [], gpu = ["min", "max"], workloads = ["*.reads", "*.writes"], cache = ["nodes"] }
  switches = ["cache"]
}

output "settings" {
  description = "All that the module says."
  value       = module.settings
}
