"""Templates, units and env files."""
