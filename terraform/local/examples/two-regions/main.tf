# Two targets that stand for two regions. Run it with a Python on PATH in which mcml is installed:
#   terraform init && terraform apply
module "targets" {
  source = "../.."

  project     = "acme"
  environment = "example"
  root        = "${path.cwd}/local"

  targets = {
    eu-1 = { region = "eu-west-1" }
    us-1 = { region = "us-east-1", ports = 4, tags = { team = "risk" } }
  }
}

output "targets" {
  description = "Where the targets are."
  value       = module.targets.targets
}
