"""What a host's disk holds of its releases."""
