"""The findings of `shipit lint` in each of its formats."""
