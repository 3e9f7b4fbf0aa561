"""What one host should get, and how it differs from what the host has."""
