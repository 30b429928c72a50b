locals {
  strangers = setsubtract(keys(var.given), keys(var.known))

  # What stands in a setting, written as in `known`.
  inside = { for name, value in var.given : name => startswith(try(var.known[name][0], "*."), "*.") ? flatten([
    for one in try(values(value), []) : [for key in try(keys(one), []) : "*.${key}"]
  ]) : try(keys(value), []) }
  strangers_inside = { for name, known in var.known : name => setsubtract(try(local.inside[name], []), known) if length(known) > 0 }

  missing = setsubtract(var.required, [for name, value in var.given : name if value != null])

  complaints = concat(
    length(local.strangers) > 0 ? ["${var.unit} has no setting ${join(", ", local.strangers)}; it has ${join(", ", keys(var.known))}."] : [],
    [for name, wrong in local.strangers_inside : "Setting ${name} of ${var.unit} has no ${join(", ", wrong)}; it has ${join(", ", var.known[name])}." if length(wrong) > 0],
    [for name in local.missing : "${var.unit} needs the setting ${name}."],
  )
}
