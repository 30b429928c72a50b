locals {
  # What is spent is known hours later: the forecast is what leaves time to act.
  thresholds = var.thresholds != null ? var.thresholds : tolist({
    dev  = [for percent in [80, 100] : { percent = percent, forecast = false }]
    prod = concat([for percent in [50, 80, 100] : { percent = percent, forecast = false }], [{ percent = 100, forecast = true }])
  }[var.profile])

  filters = merge(
    length(var.account_ids) > 0 ? { LinkedAccount = sort(var.account_ids) } : {},
    var.by_tag != null ? { TagKeyValue = [format("user:%s$%s", var.by_tag, var.tags[var.by_tag])] } : {},
  )
}

resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.amount)
  limit_unit   = var.currency
  tags         = merge(var.tags, { managed-by = "mcml" })

  # Credits and refunds would hide what is used until the day they run out.
  cost_types {
    include_credit = false
    include_refund = false
  }

  dynamic "cost_filter" {
    for_each = local.filters

    content {
      name   = cost_filter.key
      values = cost_filter.value
    }
  }

  dynamic "notification" {
    for_each = local.thresholds

    content {
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value.percent
      threshold_type             = "PERCENTAGE"
      notification_type          = notification.value.forecast ? "FORECASTED" : "ACTUAL"
      subscriber_email_addresses = var.emails
      subscriber_sns_topic_arns  = var.topic_arn == null ? [] : [var.topic_arn]
    }
  }
}
