"""Tests on real hosts; a package, so that a file here may have the name of one above it."""
