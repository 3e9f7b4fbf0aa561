"""What a bill is."""
