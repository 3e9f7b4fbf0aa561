"""The use cases of the commands, one module per command."""
