"""The commands that a playbook runs at the points of a deploy."""
