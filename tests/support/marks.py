"""Marks for tests that need more than every machine gives."""

import os

import pytest


def left_out_unless(is_whole: bool, target: str) -> pytest.MarkDecorator:  # noqa: FBT001 - reads so
    """Skip a slow test that only a target of the Makefile runs; others of its kind are run."""
    return pytest.mark.skipif(not is_whole, reason=f"slow: `make {target}` runs it")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: tests/as-root runs it so")
