output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Addresses of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "zones" {
  description = "Names of the three availability zones."
  value       = local.zones
}

output "public_subnet_ids" {
  description = "Subnets of load balancers that face the internet, in the order of the zones."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Subnets of nodes, in the order of the zones."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "database_subnet_ids" {
  description = "Subnets of databases, from which nothing outside of the VPC is reached, in the order of the zones."
  value       = [for zone in local.zones : aws_subnet.database[zone].id]
}

output "private_route_table_ids" {
  description = "Route tables of the private subnets, in the order of the zones: what learns the way to another network."
  value       = [for zone in local.zones : aws_route_table.private[zone].id]
}

output "nat_addresses" {
  description = "Public addresses that the private subnets come from, by zone: what a partner allows in."
  value       = { for zone, address in aws_eip.nat : zone => address.public_ip }
}

output "alarm_topic_arn" {
  description = "SNS topic that alarms are sent to, and that takes what budgets and Cost Anomaly Detection tell."
  value       = aws_sns_topic.alarms.arn
}
