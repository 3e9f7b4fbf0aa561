"""Programs that a rehearsal runs on its machines, on their own Python."""
