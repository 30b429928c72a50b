variable "tags" {
  type = map(string)
}

variable "protected" {
  type = bool
}

resource "aws_db_instance" "this" {
  identifier          = "acme"
  engine              = "postgres"
  instance_class      = "db.r7g.large"
  allocated_storage   = 100
  multi_az            = true
  storage_encrypted   = var.protected
  publicly_accessible = !var.protected
  deletion_protection = var.protected
  skip_final_snapshot = !var.protected
  tags                = var.tags
}
