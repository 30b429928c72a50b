"""`mcml route drill`: a bounded load, a backend that fails in one of several ways, and what the clients saw of it."""
