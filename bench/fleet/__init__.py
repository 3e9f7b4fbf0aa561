"""Thousands of simulated hosts, for what a controller carries."""
