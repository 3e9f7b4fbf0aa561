"""Deploys under load, for `make load`."""
