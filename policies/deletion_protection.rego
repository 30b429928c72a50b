# In production nobody deletes what holds data by mistake.
package mcml.deletion_protection

import data.mcml.lib

deny contains {"rule": "deletion-protection", "address": address, "message": message} if {
	lib.production
	some [address, message] in unprotected
}

# Off unless switched on (Amazon), on unless switched off (Google)
unprotected contains [r.address, sprintf("%s is not on", [name])] if {
	some r in lib.resources
	[name, default_is] := switches[r.kind]
	not lib.on(lib.value(r, name, default_is))
}

switches := {
	"aws_db_instance": ["deletion_protection", false],
	"aws_rds_cluster": ["deletion_protection", false],
	"aws_docdb_cluster": ["deletion_protection", false],
	"aws_neptune_cluster": ["deletion_protection", false],
	"aws_dynamodb_table": ["deletion_protection_enabled", false],
	"google_sql_database_instance": ["deletion_protection", true],
	"google_container_cluster": ["deletion_protection", true],
	"google_bigquery_table": ["deletion_protection", true],
	"google_spanner_database": ["deletion_protection", true],
	"azurerm_key_vault": ["purge_protection_enabled", false],
}

# A destroy that takes the content along
unprotected contains [r.address, sprintf("%s is on", [name])] if {
	some r in lib.resources
	name := takes_along[r.kind]
	lib.on(lib.value(r, name, false))
}

takes_along := {
	"aws_s3_bucket": "force_destroy",
	"aws_ecr_repository": "force_delete",
	"aws_db_instance": "skip_final_snapshot",
	"aws_rds_cluster": "skip_final_snapshot",
	"google_storage_bucket": "force_destroy",
	"google_bigquery_dataset": "delete_contents_on_destroy",
}

# Azure has no such switch: a lock of the resource, of its server or of its group stands in
unprotected contains [r.address, "no azurerm_management_lock is on it, its server or its resource group"] if {
	some r in lib.resources
	r.kind in lockable
	not locked(r)
	not undecided(r)
}

warn contains {"rule": "deletion-protection-untold", "address": r.address, "message": "only the apply tells what the locks beside it are on"} if {
	lib.production
	some r in lib.resources
	r.kind in lockable
	not locked(r)
	undecided(r)
}

lockable := {
	"azurerm_storage_account", "azurerm_mssql_server", "azurerm_mssql_database", "azurerm_postgresql_flexible_server",
	"azurerm_cosmosdb_account",
}

undecided(r) if {
	some lock in locks
	lib.untold(lock, "scope")
	lock.module == r.module
}

locks := [r | some r in lib.resources; r.kind == "azurerm_management_lock"]

locked(r) if {
	some lock in locks
	some held in object.get(lock.refers, "scope", [])
	holds(held, r)
}

holds(held, r) if held == r.within

holds(held, r) if held in object.get(r.refers, "server_id", [])

holds(held, r) if groups(held, r)

# a database has no group of its own: it stands and falls with its server
holds(held, r) if {
	some server in lib.resources
	server.within in object.get(r.refers, "server_id", [])
	groups(held, server)
}

# it is the resource group
groups(held, r) if held in object.get(r.refers, "resource_group_name", [])

groups(held, r) if {
	some group in lib.resources
	group.kind == "azurerm_resource_group"
	group.within == held
	group.after.name == lib.value(r, "resource_group_name", null)
}

# a lock on what is there already, by its id
locked(r) if {
	some lock in locks
	scope := lib.value(lock, "scope", "")
	some id in {lib.value(r, "id", "?"), lib.value(r, "server_id", "?")}
	scope != ""
	startswith(sprintf("%s/", [id]), sprintf("%s/", [scope]))
}
