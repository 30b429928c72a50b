output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "Address of the Kubernetes API."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Certificate that the Kubernetes API is trusted by, in base64 of PEM."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "security_group_id" {
  description = "Security group of the control plane and of all nodes: what lets it in lets the pods in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "oidc_provider_arn" {
  description = "Identity provider that roles for service accounts (IRSA) trust."
  value       = aws_iam_openid_connect_provider.cluster.arn
}

output "oidc_issuer" {
  description = "Address of the cluster's token issuer, without https://."
  value       = trimprefix(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://")
}

output "node_role_arn" {
  description = "Role of the nodes."
  value       = aws_iam_role.node.arn
}

output "node_groups" {
  description = "The node groups by name: capacity type, instance types, least and most nodes."
  value = {
    for name, group in aws_eks_node_group.this : name => {
      capacity_type  = group.capacity_type
      instance_types = group.instance_types
      min            = group.scaling_config[0].min_size
      max            = group.scaling_config[0].max_size
    }
  }
}
