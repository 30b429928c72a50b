# Run by the test suite in a copy of the module, with `root` and `python` given on the command line.
variables {
  project     = "acme"
  environment = "test"
  tags        = { cost-centre = "7" }
  targets = {
    eu-1 = { region = "eu-west-1", ports = 2 }
    us-1 = { ports = 3, tags = { team = "risk", cost-centre = "8" } }
  }
}

run "plan" {
  command = plan

  assert {
    condition     = length(terraform_data.target) == 2
    error_message = "One resource a target."
  }

  assert {
    condition     = terraform_data.target["us-1"].input.tags["cost-centre"] == "8"
    error_message = "A target's own tag wins."
  }
}

run "apply" {
  assert {
    condition     = output.targets["eu-1"].region == "eu-west-1" && length(output.targets["eu-1"].ports) == 2
    error_message = "The outputs are what the target's own files say."
  }

  assert {
    condition = output.targets["us-1"].tags == {
      project = "acme", environment = "test", managed-by = "terraform", team = "risk", cost-centre = "8"
    }
    error_message = "The tags of the module, the caller and the target are merged."
  }

  assert {
    condition     = fileexists("${output.targets["us-1"].folder}/target.json")
    error_message = "The folder is there."
  }

  assert {
    condition     = length(setintersection(output.targets["eu-1"].ports, output.targets["us-1"].ports)) == 0
    error_message = "No port is leased twice."
  }
}

run "fewer" {
  variables {
    targets = { us-1 = { region = "us-east-1" } }
  }

  assert {
    condition     = keys(output.targets) == ["us-1"] && output.targets["us-1"].region == "us-east-1"
    error_message = "A target that is taken out goes, a changed one is made again."
  }
}

run "bad_names_are_refused" {
  command = plan

  variables {
    targets = { "Not A Name" = {} }
  }

  expect_failures = [var.targets]
}
