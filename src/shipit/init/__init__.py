"""Read a project's folder, and write the playbook and the inventory that fit it."""
