"""Hosts, groups and their variables, as Ansible reads them."""
