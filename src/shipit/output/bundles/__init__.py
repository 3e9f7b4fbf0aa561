"""What is shown of bundles."""
