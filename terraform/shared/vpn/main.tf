# Three pairs of clouds, each gateway with two addresses. AWS has two tunnels for each address of the other side, so it has eight; Google Cloud
# and Azure have two between them. Routes are told by BGP; when a tunnel is gone, the others of its pair take over.
locals {
  tags = merge(var.tags, { managed-by = "mcml" })

  # Inside addresses. Azure takes 169.254.21.0 to 169.254.22.255 only. In a tunnel of AWS the first address is its own.
  aws_tunnels = {
    gcp-0-1   = { connection = "gcp-0", peer = "gcp", interface = 0, number = 1, cidr = "169.254.20.0/30" }
    gcp-0-2   = { connection = "gcp-0", peer = "gcp", interface = 0, number = 2, cidr = "169.254.20.4/30" }
    gcp-1-1   = { connection = "gcp-1", peer = "gcp", interface = 1, number = 1, cidr = "169.254.20.8/30" }
    gcp-1-2   = { connection = "gcp-1", peer = "gcp", interface = 1, number = 2, cidr = "169.254.20.12/30" }
    azure-0-1 = { connection = "azure-0", peer = "azure", interface = 0, number = 1, cidr = "169.254.21.0/30" }
    azure-0-2 = { connection = "azure-0", peer = "azure", interface = 0, number = 2, cidr = "169.254.21.4/30" }
    azure-1-1 = { connection = "azure-1", peer = "azure", interface = 1, number = 1, cidr = "169.254.22.0/30" }
    azure-1-2 = { connection = "azure-1", peer = "azure", interface = 1, number = 2, cidr = "169.254.22.4/30" }
  }

  # Here the first address is Google's.
  gcp_azure_cidrs = ["169.254.21.8/30", "169.254.22.8/30"]
}
