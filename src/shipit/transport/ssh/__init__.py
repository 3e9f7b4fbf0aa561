"""Connections by ssh: configuration, host keys, login."""
