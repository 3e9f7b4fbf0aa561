"""What a host's disk holds of releases and transactions."""
