"""The host's half of shipit: carries a release out, and can finish or undo it alone.

Imports only the standard library and itself, runs on Python 3.8 and later as a zip with `-I -S`.
"""
