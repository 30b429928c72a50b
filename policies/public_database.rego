# No database and no cache with an address on the internet.
package mcml.public_database

import data.mcml.lib

deny contains {"rule": "public-database", "address": address, "message": message} if some [address, message] in open

# Amazon
open contains [r.address, "publicly_accessible is on"] if {
	some r in lib.resources
	r.kind in {
		"aws_db_instance", "aws_rds_cluster_instance", "aws_docdb_cluster_instance", "aws_neptune_cluster_instance",
		"aws_redshift_cluster", "aws_redshiftserverless_workgroup",
	}
	lib.on(lib.value(r, "publicly_accessible", false))
}

# Google: an address of its own unless that is switched off
open contains [r.address, "ipv4_enabled is not off"] if {
	some r in lib.resources
	r.kind == "google_sql_database_instance"
	lib.on(lib.got(google_ip(r), "ipv4_enabled", true))
}

open contains [r.address, "authorized_networks lets everybody connect"] if {
	some r in lib.resources
	r.kind == "google_sql_database_instance"
	some network in lib.got(google_ip(r), "authorized_networks", [])
	endswith(network.value, "/0")
}

google_ip(r) := lib.block(lib.block(r.after, "settings"), "ip_configuration")

# Azure: open unless switched off
open contains [r.address, "public_network_access_enabled is not off"] if {
	some r in lib.resources
	r.kind in {
		"azurerm_mssql_server", "azurerm_postgresql_flexible_server", "azurerm_postgresql_server", "azurerm_redis_cache",
		"azurerm_cosmosdb_account", "azurerm_synapse_workspace",
	}
	lib.on(lib.value(r, "public_network_access_enabled", true))
}

open contains [r.address, "public_network_access is not Disabled"] if {
	some r in lib.resources
	r.kind in {"azurerm_mysql_flexible_server", "azurerm_managed_redis"}
	lib.value(r, "public_network_access", "Enabled") != "Disabled"
}

open contains [r.address, "it lets addresses in that are not yours: it begins at 0.0.0.0"] if {
	some r in lib.resources
	regex.match(`^azurerm_(mssql|postgresql|mysql|redis)(_flexible_server)?_firewall_rule$`, r.kind)
	"0.0.0.0" in {lib.value(r, "start_ip_address", ""), lib.value(r, "start_ip", "")}
}
