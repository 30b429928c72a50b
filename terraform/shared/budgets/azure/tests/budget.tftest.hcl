variables {
  name            = "acme-prod"
  tags            = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  amount          = 5000
  emails          = ["ml@example.com"]
  subscription_id = "00000000-0000-0000-0000-000000000000"
  first_month     = "2026-11"
}

run "dev" {
  assert {
    condition     = azurerm_consumption_budget_subscription.this.amount == 5000 && azurerm_consumption_budget_subscription.this.time_grain == "Monthly" && azurerm_consumption_budget_subscription.this.time_period[0].start_date == "2026-11-01T00:00:00Z"
    error_message = "A monthly amount, from the first of a month."
  }

  assert {
    condition     = azurerm_consumption_budget_subscription.this.subscription_id == "/subscriptions/00000000-0000-0000-0000-000000000000" && length(azurerm_consumption_budget_subscription.this.filter) == 0
    error_message = "The whole subscription counts."
  }

  assert {
    condition     = toset([for one in azurerm_consumption_budget_subscription.this.notification : "${one.threshold} ${one.threshold_type}"]) == toset(["80 Actual", "100 Actual"])
    error_message = "Told at 80 and 100 percent of what is spent."
  }

  assert {
    condition     = alltrue([for one in azurerm_consumption_budget_subscription.this.notification : one.contact_emails == tolist(["ml@example.com"]) && one.operator == "GreaterThan"])
    error_message = "Every threshold is told to the addresses."
  }
}

run "prod" {
  variables {
    profile          = "prod"
    by_tag           = "project"
    resource_groups  = ["acme-prod-rg"]
    action_group_ids = ["/subscriptions/0/resourceGroups/g/providers/Microsoft.Insights/actionGroups/ml"]
    emails           = []
  }

  assert {
    condition     = toset([for one in azurerm_consumption_budget_subscription.this.notification : "${one.threshold} ${one.threshold_type}"]) == toset(["50 Actual", "80 Actual", "100 Actual", "100 Forecasted"])
    error_message = "Production is told of the forecast too."
  }

  assert {
    condition     = one(azurerm_consumption_budget_subscription.this.filter[0].dimension).values == tolist(["acme-prod-rg"]) && one(azurerm_consumption_budget_subscription.this.filter[0].tag).name == "project" && one(azurerm_consumption_budget_subscription.this.filter[0].tag).values == tolist(["acme"])
    error_message = "What is counted is narrowed by resource group and tag."
  }

  assert {
    condition     = alltrue([for one in azurerm_consumption_budget_subscription.this.notification : one.contact_groups == tolist(var.action_group_ids)])
    error_message = "Every threshold is told to the action groups."
  }
}

run "nobody_told_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
