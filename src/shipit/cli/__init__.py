"""The command line: what is typed, and with which exit status it ends."""
