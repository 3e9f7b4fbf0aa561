"""Make a release directory that only has to be switched to."""
