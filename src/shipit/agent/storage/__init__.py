"""Blobs, bytecode and caches, how releases differ from their manifests, and what may be deleted."""
