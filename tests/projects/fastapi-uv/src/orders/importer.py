"""Imports orders from a file."""


def main() -> None:
    print("nothing to import")
