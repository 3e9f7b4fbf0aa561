"""What makes the machines of a rehearsal."""
