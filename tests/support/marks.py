"""Marks for tests that need more than every machine gives."""

import os

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: tests/as-root runs it so")
