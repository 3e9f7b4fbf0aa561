"""Wheels that no index has: which machine builds them, and for whom."""
