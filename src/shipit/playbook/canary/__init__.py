"""The hosts that get a release first, and what is observed on them."""
