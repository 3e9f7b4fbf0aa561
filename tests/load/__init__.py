"""Deploys under load: what `make load` plays."""
