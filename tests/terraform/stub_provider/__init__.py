"""A Terraform provider of the tests: it serves a real provider's schema over plugin protocol 6, and keeps what it is told in the state.

So Terraform itself refuses a wrong attribute, a missing argument, a wrong type or a wrong block, with its own words, and a module can be
planned, applied and destroyed with no cloud. What a schema does not say is not checked: defaults, values that exclude each other, what
forces a replacement, names that a cloud would refuse.
"""
