"""The playbook: its models, the types of its values, and its mistakes."""
