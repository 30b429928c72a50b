variables {
  name   = "acme-prod"
  tags   = { project = "acme", environment = "prod", team = "risk", cost-centre = "4711" }
  amount = 5000
  emails = ["ml@example.com"]
}

run "dev" {
  assert {
    condition     = aws_budgets_budget.this.limit_amount == "5000" && aws_budgets_budget.this.limit_unit == "USD" && aws_budgets_budget.this.time_unit == "MONTHLY" && aws_budgets_budget.this.budget_type == "COST"
    error_message = "A monthly amount of dollars."
  }

  assert {
    condition     = toset([for one in aws_budgets_budget.this.notification : "${one.threshold} ${one.notification_type}"]) == toset(["80 ACTUAL", "100 ACTUAL"])
    error_message = "Told at 80 and 100 percent of what is spent."
  }

  assert {
    condition     = alltrue([for one in aws_budgets_budget.this.notification : one.subscriber_email_addresses == toset(["ml@example.com"]) && one.threshold_type == "PERCENTAGE"])
    error_message = "Every threshold is told to the addresses."
  }

  assert {
    condition     = length(aws_budgets_budget.this.cost_filter) == 0 && !aws_budgets_budget.this.cost_types[0].include_credit && !aws_budgets_budget.this.cost_types[0].include_refund
    error_message = "Everything counts, without credits."
  }

  assert {
    condition     = aws_budgets_budget.this.tags["managed-by"] == "mcml" && aws_budgets_budget.this.tags["cost-centre"] == "4711"
    error_message = "The budget is tagged."
  }
}

run "prod" {
  variables {
    profile     = "prod"
    by_tag      = "project"
    account_ids = ["123456789012"]
    topic_arn   = "arn:aws:sns:us-east-1:123456789012:acme-costs"
    emails      = []
  }

  assert {
    condition     = toset([for one in aws_budgets_budget.this.notification : "${one.threshold} ${one.notification_type}"]) == toset(["50 ACTUAL", "80 ACTUAL", "100 ACTUAL", "100 FORECASTED"])
    error_message = "Production is told of the forecast too."
  }

  assert {
    condition     = toset([for one in aws_budgets_budget.this.cost_filter : "${one.name} ${one(one.values)}"]) == toset(["LinkedAccount 123456789012", "TagKeyValue user:project$acme"])
    error_message = "What is counted is narrowed by account and tag."
  }

  assert {
    condition     = alltrue([for one in aws_budgets_budget.this.notification : one(one.subscriber_sns_topic_arns) == var.topic_arn])
    error_message = "Every threshold is told to the topic."
  }
}

run "nobody_told_is_refused" {
  command = plan

  variables {
    emails = []
  }

  expect_failures = [var.emails]
}
