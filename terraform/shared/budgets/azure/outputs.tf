output "budget_id" {
  description = "Id of the budget."
  value       = azurerm_consumption_budget_subscription.this.id
}

output "thresholds" {
  description = "Percents of the amount at which somebody is told (percent, forecast)."
  value       = local.thresholds
}
