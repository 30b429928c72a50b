"""A plan and what is said of it: resources, prices, policies, what would stop a destroy, how long it takes. Pure."""
