"""What the source of an app says: read as syntax trees, never run."""
