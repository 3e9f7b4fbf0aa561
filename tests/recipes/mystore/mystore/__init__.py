"""A shop whose schema changes from release to release: see docs/migrations.md."""
