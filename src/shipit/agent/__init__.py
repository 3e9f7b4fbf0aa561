"""The host's half of shipit: runs a deploy, and can finish or roll it back alone.

Imports only the standard library and itself, runs on Python 3.8 and later as a zip with `-I -S`.
"""
