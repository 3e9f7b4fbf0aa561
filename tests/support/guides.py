"""The commands and files of docs/guides."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs/guides"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language, in order."""
    found = _BLOCK.findall((FOLDER / f"{page}.md").read_text())
    return [text for name, text in found if name == language]


def commands(page: str) -> list[str]:
    """Return the commands of a page, in order; `export` sets variables for those after it."""
    lines = "".join(blocks(page, "console")).splitlines()
    assert all(line.startswith("$ ") for line in lines), "a command has one line"
    return [line[2:] for line in lines]


def scripts(page: str) -> list[str]:
    """Return a line of shell for each command, with the variables that are set before it."""
    made: list[str] = []
    exported: list[str] = []
    for command in commands(page):
        if command.startswith("export "):
            exported.append(command)
        else:
            made.append("; ".join([*exported, command]))
    return made
