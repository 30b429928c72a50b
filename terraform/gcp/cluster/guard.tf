# Terraform destroys pools before their cluster. `deletion_protection` of the cluster speaks up when it is the cluster's turn, and leaves a
# control plane without nodes. This one is destroyed before the pools are, or replaced with the cluster, and refuses first.
resource "terraform_data" "guard" {
  input            = { cluster = google_container_cluster.this.name, protected = local.protected }
  triggers_replace = [google_container_cluster.this.id]

  provisioner "local-exec" {
    when        = destroy
    interpreter = ["/bin/sh", "-c"]
    command     = self.output.protected ? "echo 'Cluster ${self.output.cluster} is protected: apply with deletion_protection = false first.' >&2; exit 1" : ":"
  }

  depends_on = [google_container_node_pool.this]
}
