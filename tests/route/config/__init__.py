"""Tests of the route room: pure parts as values, the rest with a real Envoy and real little servers."""
