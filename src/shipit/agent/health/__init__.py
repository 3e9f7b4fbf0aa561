"""Whether a release is healthy, and the evidence where it is not."""
