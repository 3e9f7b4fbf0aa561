"""Ship Python services to Linux VMs, and bring the last good release back when one is bad."""

__version__ = "0.1.0"
