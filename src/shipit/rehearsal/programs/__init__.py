"""Programs that a rehearsal runs on its machines with their own Python."""
