"""The playbook: its models, the types of its values, and what is wrong with one."""
