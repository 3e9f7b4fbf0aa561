"""The findings of `shipit lint` and `shipit audit` in each of their formats."""
