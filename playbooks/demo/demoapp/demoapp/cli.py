"""`demoapp --version`: checks that the release imports, without any settings."""

import argparse

from demoapp import __version__
from demoapp.main import app


def main() -> None:
    parser = argparse.ArgumentParser(prog="demoapp", description=app.title)
    parser.add_argument("--version", action="version", version=f"demoapp {__version__}")
    parser.parse_args()
    parser.print_help()
