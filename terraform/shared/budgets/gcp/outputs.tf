output "budget_id" {
  description = "Id of the budget."
  value       = google_billing_budget.this.id
}

output "thresholds" {
  description = "Percents of the amount at which somebody is told (percent, forecast)."
  value       = local.thresholds
}
