"""App servers and task workers: what is known of each, and what a `serve:` line becomes."""
