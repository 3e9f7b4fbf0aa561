"""Answer one controller."""
