locals {
  # What is spent is known hours later: the forecast is what leaves time to act.
  thresholds = var.thresholds != null ? var.thresholds : tolist({
    dev  = [for percent in [80, 100] : { percent = percent, forecast = false }]
    prod = concat([for percent in [50, 80, 100] : { percent = percent, forecast = false }], [{ percent = 100, forecast = true }])
  }[var.profile])

  # As Google answers, whatever it was asked: what is spent before what is forecast, each by percent. Another order is a change in every plan.
  sorted = sort([for one in local.thresholds : format("%s %04d", one.forecast ? "FORECASTED_SPEND" : "CURRENT_SPEND", one.percent)])
  rules  = [for one in local.sorted : { basis = split(" ", one)[0], percent = tonumber(split(" ", one)[1]) }]
}

resource "google_project_service" "this" {
  for_each = toset(["billingbudgets.googleapis.com", "monitoring.googleapis.com"])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  project      = var.project_id
  display_name = "Budget ${var.name}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = merge(var.tags, { managed-by = "mcml" })

  depends_on = [google_project_service.this]
}

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = var.name

  amount {
    specified_amount {
      currency_code = var.currency
      units         = tostring(var.amount)
    }
  }

  budget_filter {
    calendar_period = "MONTH"
    projects        = length(var.project_numbers) > 0 ? [for number in var.project_numbers : "projects/${number}"] : null
    labels          = var.by_tag == null ? null : { (var.by_tag) = var.tags[var.by_tag] }

    # Promotions would hide what is used until the day they run out; discounts are what is really paid.
    credit_types_treatment = "INCLUDE_SPECIFIED_CREDITS"
    credit_types           = ["COMMITTED_USAGE_DISCOUNT", "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE", "DISCOUNT", "FREE_TIER", "SUSTAINED_USAGE_DISCOUNT"]
  }

  dynamic "threshold_rules" {
    for_each = local.rules

    content {
      threshold_percent = threshold_rules.value.percent / 100
      spend_basis       = threshold_rules.value.basis
    }
  }

  all_updates_rule {
    monitoring_notification_channels = [for address in sort(var.emails) : google_monitoring_notification_channel.email[address].id]
    pubsub_topic                     = var.topic_id
    schema_version                   = "1.0"
  }

  depends_on = [google_project_service.this]
}
