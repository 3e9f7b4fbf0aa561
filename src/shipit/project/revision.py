"""Which revision of its source a project is at, as git knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shipit.errors import InputError
from shipit.project.programs import GIT, Program

if TYPE_CHECKING:
    from pathlib import Path

# The earliest time that a zip file can hold (1980-01-01): of files without a commit.
NO_TIME = 315_532_800
_SHORT = 9  # characters of a commit in a version


@dataclass(frozen=True)
class Revision:
    """A state of a repository.

    Attributes:
        commit: its full name; empty outside of git.
        time: of the commit, in seconds since 1970.
        name: what `git describe` calls it: a tag or an abbreviated commit.
        is_dirty: whether files in the project's folder differ from the commit.
    """

    commit: str = ""
    time: int = NO_TIME
    name: str = ""
    is_dirty: bool = False

    def __str__(self) -> str:
        if not self.commit:
            return "no revision"
        return f"{self.name or self.commit[:_SHORT]}{', with changes' if self.is_dirty else ''}"

    @property
    def version(self) -> str:
        """A version for a project that states none: later commits have later ones (PEP 440)."""
        if not self.commit:
            return "0"
        at = datetime.fromtimestamp(self.time, UTC)
        local = f"g{self.commit[:_SHORT]}{'.dirty' if self.is_dirty else ''}"
        return f"{at.year}.{at.month}.{at.day}.{int(f'{at:%H%M%S}')}+{local}"


def of(folder: Path) -> Revision:
    """Return the revision of a project's folder; an empty one where git knows none."""

    def ask(*words: str) -> str:
        status, output, _ = Program("ask git", ["git", *words], folder, GIT).attempt()
        return output.strip() if status == 0 else ""

    try:
        commit, _, time = ask("log", "-1", "--format=%H %ct").partition(" ")
    except InputError:  # no git on this machine
        return Revision()
    if not commit:
        return Revision()
    changed = ask("status", "--porcelain", "--untracked-files=no", ".")
    return Revision(commit, int(time), ask("describe", "--tags", "--always"), bool(changed))
