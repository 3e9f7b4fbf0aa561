"""Runs the hooks and the migration of a release on this host."""
