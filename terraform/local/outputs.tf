output "targets" {
  description = "The targets as their own files say, by name: provider, region, folder, leased TCP ports, tags. One whose folder was removed is null, so a plan shows the drift."
  value = {
    for name, folder in local.folders : name => fileexists("${folder}/target.json") ? {
      provider = "local"
      region   = try(local.about[name].region, "")
      folder   = abspath(folder)
      ports    = try([for port in local.about[name].ports : tonumber(port)], [])
      tags     = try({ for key, value in local.about[name].tags : key => tostring(value) }, {})
    } : null
  }
}
