"""Providers of the machines of a rehearsal."""
