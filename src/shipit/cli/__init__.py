"""The command line: options, commands and exit statuses."""
