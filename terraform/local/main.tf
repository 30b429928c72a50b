locals {
  tags = {
    for name, target in var.targets : name => merge(
      { project = var.project, environment = var.environment, managed-by = "terraform" },
      var.tags,
      target.tags,
    )
  }
}

# A target is a folder with a lease on TCP ports. `terraform_data` is built into Terraform, so there is no provider to download.
resource "terraform_data" "target" {
  for_each = var.targets

  # A destroy-time provisioner sees nothing but `self`: all that it needs is kept here.
  input = {
    name   = each.key
    root   = var.root
    python = var.python
    region = each.value.region
    ports  = each.value.ports
    tags   = local.tags[each.key]
  }

  # Another Python is no reason to make the target again; a change of these is.
  triggers_replace = {
    root   = var.root
    region = each.value.region
    ports  = each.value.ports
    tags   = local.tags[each.key]
  }

  # The interpreter is the whole command but its last word: no shell reads any of it.
  provisioner "local-exec" {
    interpreter = concat(
      [var.python, "-m", "mcml.providers.local.target", "create", "--root", var.root],
      ["--region", each.value.region, "--ports", each.value.ports],
      flatten([for key, value in local.tags[each.key] : ["--tag", "${key}=${value}"]]),
      ["--name"],
    )
    command = each.key
  }

  provisioner "local-exec" {
    when        = destroy
    interpreter = [self.output.python, "-m", "mcml.providers.local.target", "destroy", "--root", self.output.root, "--name"]
    command     = self.output.name
  }
}

locals {
  # Through `output`, which is unknown until a target is made: its files are then read after the provisioner wrote them.
  folders = { for name, target in terraform_data.target : name => "${target.output.root}/targets/${target.output.name}" }
  about = {
    for name, folder in local.folders : name => merge(
      try(jsondecode(file("${folder}/resource.json")), {}),
      try(jsondecode(file("${folder}/target.json")), {}),
    )
  }
}
