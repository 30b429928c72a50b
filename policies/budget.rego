# What is there after the apply costs no more than infra.monthly_budget.
package mcml.budget

deny contains {"rule": "budget", "message": message} if {
	is_number(input.mcml.budget_cents)
	input.mcml.cost.monthly_cents > input.mcml.budget_cents
	message := sprintf("%s%s USD a month, and the budget is %s", [at_least, dollars(input.mcml.cost.monthly_cents), dollars(input.mcml.budget_cents)])
}

warn contains {"rule": "budget-unsure", "message": message} if {
	is_number(input.mcml.budget_cents)
	input.mcml.cost.monthly_cents <= input.mcml.budget_cents
	input.mcml.cost.missing > 0
	message := sprintf("%d resources have no price: the budget may not suffice", [input.mcml.cost.missing])
}

default at_least := ""

at_least := "at least " if input.mcml.cost.missing > 0

dollars(cents) := sprintf("%d.%02d", [floor(cents / 100), cents % 100])
