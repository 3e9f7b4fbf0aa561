"""What a playbook says of a fleet: its batches, and how many hosts may fail."""
