variables {
  unit     = "acme-cluster"
  given    = {}
  known    = { version = [], gpu = ["min", "max"], workloads = ["*.reads", "*.writes"], cache = ["nodes"] }
  switches = ["cache"]
}

run "nothing_need_be_given" {
  assert {
    condition     = length(output.given) == 0
    error_message = "No setting is made up."
  }
}

run "what_is_given_is_handed_on" {
  variables {
    given    = { version = "1.33", gpu = { max = 2 }, workloads = { serving = { reads = ["models"] } } }
    required = ["version"]
  }

  assert {
    condition     = output.given.version == "1.33" && output.given.gpu.max == 2 && output.given.workloads.serving.reads[0] == "models"
    error_message = "Each setting keeps its own type."
  }
}

run "false_switches_off_what_can_be" {
  variables {
    given = { cache = false, version = false }
  }

  assert {
    condition     = output.given.cache == null && output.given.version == false
    error_message = "Only a switch is turned into null."
  }
}

run "a_switch_can_have_settings" {
  variables {
    given = { cache = { nodes = 2 } }
  }

  assert {
    condition     = output.given.cache.nodes == 2
    error_message = "What is not false is handed on as it is."
  }
}

run "an_unknown_setting_is_refused" {
  command = plan

  variables {
    given = { gpus = { max = 2 } }
  }

  expect_failures = [output.given]
}

run "an_unknown_name_in_a_setting_is_refused" {
  command = plan

  variables {
    given = { gpu = { maximum = 2 } }
  }

  expect_failures = [output.given]
}

run "an_unknown_name_in_a_map_of_settings_is_refused" {
  command = plan

  variables {
    given = { workloads = { serving = { reads = ["models"] }, training = { write = ["models"] } } }
  }

  expect_failures = [output.given]
}

run "what_is_needed_must_be_given" {
  command = plan

  variables {
    given    = { version = null }
    required = ["version"]
  }

  expect_failures = [output.given]
}

run "settings_have_names" {
  command = plan

  variables {
    given = ["version"]
  }

  expect_failures = [var.given]
}
