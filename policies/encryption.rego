# What holds data encrypts it at rest. Google Cloud encrypts everything, and so do S3 and Azure Storage: there is nothing to switch on.
package mcml.encryption

import data.mcml.lib

deny contains {"rule": "encryption-at-rest", "address": address, "message": message} if some [address, message] in plain

# Amazon: off unless switched on
switches := {
	"aws_db_instance": "storage_encrypted",
	"aws_rds_cluster": "storage_encrypted",
	"aws_docdb_cluster": "storage_encrypted",
	"aws_neptune_cluster": "storage_encrypted",
	"aws_elasticache_replication_group": "at_rest_encryption_enabled",
	"aws_ebs_volume": "encrypted",
	"aws_efs_file_system": "encrypted",
	"aws_redshift_cluster": "encrypted",
}

plain contains [r.address, sprintf("%s is not on", [name])] if {
	some r in lib.resources
	name := switches[r.kind]
	not lib.on(lib.value(r, name, false))
	not copied(r)
}

# A replica, or what is made from a snapshot, is encrypted as its source is.
copied(r) if {
	some name in ["replicate_source_db", "replication_source_identifier", "snapshot_identifier", "snapshot_id"]
	lib.value(r, name, "") != ""
}

plain contains [r.address, sprintf("its %s is not encrypted", [name])] if {
	some r in lib.resources
	r.kind == "aws_instance"
	some name in ["root_block_device", "ebs_block_device"]
	some disk in lib.value(r, name, [])
	not lib.on(lib.got(disk, "encrypted", false))
}

plain contains [r.address, sprintf("its disk %s is not encrypted", [lib.got(device, "device_name", "")])] if {
	some r in lib.resources
	r.kind == "aws_launch_template"
	some device in lib.value(r, "block_device_mappings", [])
	some disk in lib.got(device, "ebs", [])
	not lib.on(lib.got(disk, "encrypted", false))
}

plain contains [r.address, "encrypt_at_rest is not on"] if {
	some r in lib.resources
	r.kind == "aws_opensearch_domain"
	not lib.on(lib.got(lib.block(r.after, "encrypt_at_rest"), "enabled", false))
}

# Azure: on unless switched off
plain contains [r.address, "transparent_data_encryption_enabled is off"] if {
	some r in lib.resources
	r.kind == "azurerm_mssql_database"
	lib.value(r, "transparent_data_encryption_enabled", true) == false
}

# A cluster's own secrets: encrypted by the cloud in any case, with a key of yours when it says so.
warn contains {"rule": "kubernetes-secrets", "address": r.address, "message": "its secrets are not encrypted with a key of your own"} if {
	some r in lib.resources
	not keyed(r)
}

keyed(r) if not r.kind in {"aws_eks_cluster", "google_container_cluster"}

keyed(r) if lib.block(r.after, "encryption_config") != {}

keyed(r) if lib.got(lib.block(r.after, "database_encryption"), "state", "") == "ENCRYPTED"
