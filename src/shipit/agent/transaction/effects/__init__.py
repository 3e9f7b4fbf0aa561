"""The effects of the transaction's states. Each can be killed anywhere and started again.

Each takes the journal as written before it, and returns how it ended. `states` decides what
follows, `runner` journals it.
"""
