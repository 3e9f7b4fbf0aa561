"""The port to the machine, and what stands behind it."""
