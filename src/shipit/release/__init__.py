"""The release that one host should get, and its differences from what the host has."""
