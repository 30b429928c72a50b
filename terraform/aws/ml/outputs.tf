output "sagemaker_role_arn" {
  description = "Role that SageMaker's endpoints and jobs are given."
  value       = aws_iam_role.sagemaker.arn
}

output "sagemaker_network" {
  description = "Subnets and security groups that SageMaker's endpoints and jobs are given."
  value       = { subnet_ids = var.subnet_ids, security_group_ids = [aws_security_group.sagemaker.id] }
}

output "model_groups" {
  description = "ARNs of the groups of the model registry, by the name that was given."
  value       = { for name, group in aws_sagemaker_model_package_group.this : name => group.arn }
}

output "workload_role_arns" {
  description = "Roles of the workloads by name; a service account with the identity irsa is annotated with its role."
  value       = { for name, role in aws_iam_role.workload : name => role.arn }
}
