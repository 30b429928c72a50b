"""The proxy that carries the traffic: the seam (`seam`), and Envoy behind it: found, checked, started, watched, ended."""
