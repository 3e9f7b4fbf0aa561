"""Reach a host, start the agent there, and carry frames and blobs."""

from shipit.transport import lean_invoke  # noqa: F401 - before anything here loads invoke
