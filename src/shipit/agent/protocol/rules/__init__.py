"""Rules that controller and agent have in common: names, texts and what may be in an archive."""
