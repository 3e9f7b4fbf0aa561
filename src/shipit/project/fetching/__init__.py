"""Several programs fetch side by side, and what has come so far is reported."""
