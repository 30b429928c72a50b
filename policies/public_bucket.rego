# No bucket and no storage account that anybody on the internet can read.
package mcml.public_bucket

import data.mcml.lib

deny contains {"rule": "public-bucket", "address": address, "message": message} if some [address, message] in open

everybody := {"allUsers", "allAuthenticatedUsers"}

# Amazon: four switches, in a resource of their own
open contains [r.address, sprintf("%s is off", [name])] if {
	some r in lib.resources
	r.kind == "aws_s3_bucket_public_access_block"
	some name in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]
	not lib.on(lib.value(r, name, false))
}

open contains [r.address, "no aws_s3_bucket_public_access_block is about it"] if {
	some r in lib.resources
	r.kind == "aws_s3_bucket"
	not blocked(r)
}

open contains [r.address, sprintf("its ACL is %s", [r.after.acl])] if {
	some r in lib.resources
	r.kind in {"aws_s3_bucket", "aws_s3_bucket_acl"}
	lib.value(r, "acl", "private") in {"public-read", "public-read-write", "authenticated-read"}
}

blocks := [r | some r in lib.resources; r.kind == "aws_s3_bucket_public_access_block"]

blocked(bucket) if bucket.within in blocked_addresses

blocked(bucket) if lib.value(bucket, "bucket", null) in blocked_names

# one whose bucket only the apply tells may be about any bucket of its module
blocked(bucket) if bucket.module in blocked_modules

blocked_addresses := {within | some r in blocks; some within in object.get(r.refers, "bucket", [])}

blocked_names := {r.after.bucket | some r in blocks; is_string(r.after.bucket)}

blocked_modules := {r.module | some r in blocks; lib.untold(r, "bucket")}

# Google
open contains [r.address, "public_access_prevention is not enforced"] if {
	some r in lib.resources
	r.kind == "google_storage_bucket"
	lib.value(r, "public_access_prevention", "inherited") != "enforced"
}

open contains [r.address, sprintf("%s may use it", [member])] if {
	some r in lib.resources
	regex.match(`^google_(storage_bucket|bigquery_dataset|bigquery_table)_iam_(member|binding)$`, r.kind)
	some member in {lib.value(r, "member", "")} | {name | some name in lib.value(r, "members", [])}
	member in everybody
}

# Azure: open unless switched off
open contains [r.address, "allow_nested_items_to_be_public is not off"] if {
	some r in lib.resources
	r.kind == "azurerm_storage_account"
	lib.on(lib.value(r, "allow_nested_items_to_be_public", true))
}

open contains [r.address, sprintf("container_access_type is %s", [r.after.container_access_type])] if {
	some r in lib.resources
	r.kind == "azurerm_storage_container"
	lib.value(r, "container_access_type", "private") != "private"
}
