"""What people and machines see of a run: a live table, plain lines, JSON, reports."""
