locals {
  # What is spent is known hours later: the forecast is what leaves time to act.
  thresholds = var.thresholds != null ? var.thresholds : tolist({
    dev  = [for percent in [80, 100] : { percent = percent, forecast = false }]
    prod = concat([for percent in [50, 80, 100] : { percent = percent, forecast = false }], [{ percent = 100, forecast = true }])
  }[var.profile])
}

resource "azurerm_consumption_budget_subscription" "this" {
  name            = var.name
  subscription_id = "/subscriptions/${var.subscription_id}"
  amount          = var.amount
  time_grain      = "Monthly"

  time_period {
    start_date = "${var.first_month}-01T00:00:00Z"
  }

  dynamic "filter" {
    for_each = var.by_tag != null || length(var.resource_groups) > 0 ? [1] : []

    content {
      dynamic "dimension" {
        for_each = length(var.resource_groups) > 0 ? [1] : []

        content {
          name   = "ResourceGroupName"
          values = sort(var.resource_groups)
        }
      }

      dynamic "tag" {
        for_each = var.by_tag != null ? [var.by_tag] : []

        content {
          name   = tag.value
          values = [var.tags[tag.value]]
        }
      }
    }
  }

  dynamic "notification" {
    for_each = local.thresholds

    content {
      operator       = "GreaterThan"
      threshold      = notification.value.percent
      threshold_type = notification.value.forecast ? "Forecasted" : "Actual"
      contact_emails = sort(var.emails)
      contact_groups = sort(var.action_group_ids)
    }
  }
}
