variable "unit" {
  description = "Whose settings they are, as it is told to whoever gets one wrong."
  type        = string
  nullable    = false
}

variable "given" {
  description = "The settings as they were given: an object, or a map."
  type        = any

  validation {
    condition     = can(keys(var.given))
    error_message = "Settings are an object or a map: each has a name."
  }
}

variable "known" {
  description = "The settings there are, each with the names that may stand in it: `min` in an object, `*.min` in each element of a map of objects; an empty list for what is not looked into."
  type        = map(list(string))
  nullable    = false
}

variable "required" {
  description = "The settings that must be given."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "switches" {
  description = "The settings that `false` turns into null, which is how a file without null says that something is not to be made."
  type        = set(string)
  default     = []
  nullable    = false
}
