"""The commands and files of docs/guides."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parents[2] / "docs/guides"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


TIMEOUT = 600.0  # seconds


def play(
    script: str, folder: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run a line of shell as the reader does, in the folder of the project."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


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
