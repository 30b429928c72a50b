# Everything that can carry tags or labels says whose it is: bills are split by them.
package mcml.tags

import data.mcml.lib

deny contains {"rule": "tags", "address": r.address, "message": concat("", ["no ", concat(", ", sort(missing))])} if {
	some r in lib.resources
	taggable(r)
	not undecided(r)
	missing := {shown | shown := wanted[key]; not has(r, key)}
	count(missing) > 0
}

wanted := {"project": "project", "environment": "environment", "team": "team", "costcentre": "cost-centre"}

# cost-centre, cost_centre, CostCentre, cost-center: one key
plain(key) := replace(replace(replace(lower(key), "-", ""), "_", ""), "center", "centre")

# Where the tags of a kind stand; most have the first.
places(r) := [lib.got(lib.block(r.after, "settings"), "user_labels", {}), object.get(lib.block(r.unknown, "settings"), "user_labels", {})] if {
	r.kind == "google_sql_database_instance"
} else := [lib.value(r, "resource_labels", {}), object.get(r.unknown, "resource_labels", {})] if {
	r.kind == "google_container_cluster"
} else := [found |
	some name in names[r.cloud]
	some found in [lib.value(r, name, {}), object.get(r.unknown, name, {})]
	is_object(found)
]

names := {"aws": ["tags", "tags_all"], "gcp": ["labels", "terraform_labels", "effective_labels"], "azure": ["tags"]}

has(r, key) if {
	some labels in array.concat(places(r), [lib.got(r, "default_tags", {})])
	some name, value in labels
	plain(name) == key
	not value in {"", null, false}
}

taggable(r) if r.kind in {"google_sql_database_instance", "google_container_cluster"}

taggable(r) if {
	r.cloud in {"aws", "azure"}
	not startswith(r.kind, "azurerm_machine_learning_datastore") # an entry of a workspace, not a resource that is billed
	"tags" in object.keys(r.after) | object.keys(r.unknown)
}

taggable(r) if {
	r.cloud == "gcp"
	"effective_labels" in object.keys(r.after) | object.keys(r.unknown)
}

# Only the apply tells: they depend on something that is not there yet, or the provider adds some that the plan does not show.
undecided(r) if {
	some name in ["tags", "labels", "resource_labels"]
	object.get(r.unknown, name, false) == true
}

undecided(r) if {
	r.default_tags == null
	some name in ["tags_all", "effective_labels"]
	object.get(r.unknown, name, false) == true
}
