locals {
  name = join("-", compact([var.project, var.environment, var.part]))

  tags = tomap(merge(var.more_tags, {
    project     = var.project
    environment = var.environment
    team        = var.team
    cost-centre = var.cost_centre
  }))
}
