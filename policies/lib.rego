# What the shipped rules share, for your own rules, too.
#
# `input` is Terraform's plan as JSON (https://developer.hashicorp.com/terraform/internals/json-format) without planned_values and
# prior_state, whose values stand in resource_changes, too, and without relevant_attributes and checks. Each of `input.resource_changes` has, below `mcml`: cloud (aws, gcp, azure),
# region, module (empty for the root), within (its address without indices), refers (such addresses by attribute, found through modules,
# not through locals, which no plan holds) and default_tags (what its provider adds, null when that cannot be told). Below `input.mcml`:
#   unit, environment
#   cost             monthly_cents (what is priced of all that is there after the apply, rounded up), missing (how many have no price)
#   budget_cents     infra.monthly_budget, null without one
package mcml.lib

# Everything that is there after the apply, in short.
resources := [r |
	some change in input.resource_changes
	change.mode == "managed"
	change.change.after != null
	r := {
		"address": change.address,
		"kind": change.type,
		"cloud": change.mcml.cloud,
		"module": change.mcml.module,
		"within": change.mcml.within,
		"refers": change.mcml.refers,
		"default_tags": change.mcml.default_tags,
		"after": change.change.after,
		"unknown": object.get(change.change, "after_unknown", {}),
	}
]

production if regex.match(`^prod(uction)?(-.*)?$`, input.mcml.environment)

# The value of an attribute; `otherwise` is what the cloud takes when it is left out.
value(r, name, otherwise) := got(r.after, name, otherwise)

got(values, name, otherwise) := otherwise if {
	object.get(values, name, null) == null
} else := values[name]

# The first block of a name, empty when there is none.
block(values, name) := found if {
	found := values[name][0]
	is_object(found)
} else := {}

# True for a switch that is on: some attributes are strings in Terraform's schema.
on(switch) if switch in {true, "true"}

# An attribute says nothing before the apply: neither its value nor what it refers to.
untold(r, name) if {
	object.get(r.unknown, name, false) == true
	not r.refers[name]
}
