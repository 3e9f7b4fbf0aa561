"""Build a release directory, ready for the switch."""
