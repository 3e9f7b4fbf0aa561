"""Repositories of git, for tests of projects."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TIME = 1_790_000_000  # of each commit, in seconds since 1970: 2026-09-21 14:13:20 UTC
_IDENTITY = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")


def git(folder: Path, *words: str) -> str:
    """Run git and return what it prints."""
    when = {"GIT_AUTHOR_DATE": f"{TIME} +0000", "GIT_COMMITTER_DATE": f"{TIME} +0000"}
    argv = ["env", *(f"{key}={value}" for key, value in when.items()), "git", *_IDENTITY, *words]
    done = subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def committed(folder: Path) -> str:
    """Commit everything in a folder, which becomes a repository; return the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "a change")
    return git(folder, "rev-parse", "HEAD")


def ignored(folder: Path, name: str) -> None:
    """Make a folder a repository that ignores one of its folders."""
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text(f"{name}\n")
