"""Requests go to backends by weight: Envoy carries them, Python scores the backends and writes Envoy's files."""
