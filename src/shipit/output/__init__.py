"""What operators and programs see of a run: a live table, plain lines, JSON, reports."""
