"""Reach a host, start the agent there, and carry frames and blobs."""
