variables {
  name            = "acme-prod"
  tags            = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  amount          = 5000
  emails          = ["ml@example.com"]
  project_id      = "acme-123"
  billing_account = "012345-6789AB-CDEF01"
}

run "dev" {
  assert {
    condition     = google_billing_budget.this.amount[0].specified_amount[0].units == "5000" && google_billing_budget.this.amount[0].specified_amount[0].currency_code == "USD" && google_billing_budget.this.budget_filter[0].calendar_period == "MONTH"
    error_message = "A monthly amount of dollars."
  }

  assert {
    condition     = [for one in google_billing_budget.this.threshold_rules : "${one.threshold_percent} ${one.spend_basis}"] == ["0.8 CURRENT_SPEND", "1 CURRENT_SPEND"]
    error_message = "Told at 80 and 100 percent of what is spent."
  }

  assert {
    condition     = !contains(google_billing_budget.this.budget_filter[0].credit_types, "PROMOTION") && google_billing_budget.this.budget_filter[0].credit_types_treatment == "INCLUDE_SPECIFIED_CREDITS"
    error_message = "Promotions are not counted."
  }

  assert {
    condition     = google_billing_budget.this.all_updates_rule[0].monitoring_notification_channels == tolist([google_monitoring_notification_channel.email["ml@example.com"].id])
    error_message = "The budget tells the addresses' channels."
  }

  assert {
    condition     = google_monitoring_notification_channel.email["ml@example.com"].labels.email_address == "ml@example.com" && google_monitoring_notification_channel.email["ml@example.com"].user_labels["managed-by"] == "mcml"
    error_message = "An address has a channel, which is labelled."
  }

  assert {
    condition     = alltrue([for one in google_project_service.this : !one.disable_on_destroy])
    error_message = "An API stays on for those who use it too."
  }
}

run "prod" {
  variables {
    profile         = "prod"
    by_tag          = "project"
    project_numbers = ["123456789012"]
    topic_id        = "projects/acme-123/topics/costs"
    emails          = []
  }

  assert {
    condition     = [for one in google_billing_budget.this.threshold_rules : "${one.threshold_percent} ${one.spend_basis}"] == ["0.5 CURRENT_SPEND", "0.8 CURRENT_SPEND", "1 CURRENT_SPEND", "1 FORECASTED_SPEND"]
    error_message = "Production is told of the forecast too."
  }

  assert {
    condition     = google_billing_budget.this.budget_filter[0].projects == toset(["projects/123456789012"]) && google_billing_budget.this.budget_filter[0].labels == tomap({ project = "acme" })
    error_message = "What is counted is narrowed by project and label."
  }

  assert {
    condition     = google_billing_budget.this.all_updates_rule[0].pubsub_topic == var.topic_id && length(google_monitoring_notification_channel.email) == 0
    error_message = "The topic is told, and no address."
  }
}

run "rules_stand_as_google_answers" {
  variables {
    thresholds = [{ percent = 90, forecast = true }, { percent = 120 }, { percent = 60 }]
  }

  assert {
    condition     = [for one in google_billing_budget.this.threshold_rules : "${one.threshold_percent} ${one.spend_basis}"] == ["0.6 CURRENT_SPEND", "1.2 CURRENT_SPEND", "0.9 FORECASTED_SPEND"]
    error_message = "Another order would be a change in every plan."
  }
}

run "nobody_told_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
