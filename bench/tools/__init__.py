"""How each tool deploys the service: a folder of its files, and a command for each action."""
