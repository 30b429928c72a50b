variables {
  project     = "acme"
  environment = "prod"
  team        = "risk"
  cost_centre = "4711"
}

run "names_and_tags" {
  assert {
    condition     = output.name == "acme-prod" && output.plain_name == "acmeprod"
    error_message = "A name is the project and the environment."
  }

  assert {
    condition     = output.tags == tomap({ project = "acme", environment = "prod", team = "risk", cost-centre = "4711" })
    error_message = "The four tags that costs are read by."
  }
}

run "a_longer_name_is_refused" {
  command = plan

  variables {
    project = "fraud-scores"
    part    = "weu"
  }

  expect_failures = [var.project]
}

run "the_longest_name" {
  variables {
    project   = "fraud-score"
    part      = "weu"
    more_tags = { data-class = "internal" }
  }

  assert {
    condition     = output.name == "fraud-score-prod-weu" && length(output.name) == 20 && output.plain_name == "fraudscoreprodweu"
    error_message = "A name of 20 characters is allowed."
  }

  assert {
    condition     = output.tags["data-class"] == "internal" && length(output.tags) == 5
    error_message = "Further tags are added."
  }
}

run "no_tag_is_made_twice" {
  command = plan

  variables {
    more_tags = { team = "other" }
  }

  expect_failures = [var.more_tags]
}

run "no_names_of_the_clouds_own" {
  command = plan

  variables {
    project = "sg-acme"
  }

  expect_failures = [var.project]
}
