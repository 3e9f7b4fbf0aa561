"""Deploys of one service by shipit, by its peers, and by a floor without any safety, side by side.

`make bench` runs it; docs/performance.md has its results, and says what each tool does.
"""
