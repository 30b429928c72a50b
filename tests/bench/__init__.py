"""Measurements that `make bench` runs; not tests."""
