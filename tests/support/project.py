"""Where the project lies, for tests that read its own files."""

from pathlib import Path

TOP = Path(__file__).parents[2]
TESTS = TOP / "tests"
