"""What a check without hosts finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from shipit.errors import Place

if TYPE_CHECKING:
    from shipit.errors import Mistake


class Level(Enum):
    """How bad a finding is."""

    ERROR = "error"  # a deploy would stop before it contacts a host
    WARNING = "warning"  # a deploy would go on, and might surprise


@dataclass(frozen=True)
class Finding:
    """A mistake, how bad it is, and the playbook in which it was found."""

    level: Level
    mistake: Mistake
    playbook: str

    @property
    def place(self) -> Place:
        """Its place; the playbook, where it has none in a file."""
        place = self.mistake.place
        is_option = place is not None and place.file.startswith("--")
        return place if place and not is_option else Place(self.playbook)


@dataclass(frozen=True)
class Report:
    """All findings of a command, the errors first, and what could not be checked."""

    findings: tuple[Finding, ...]
    skipped: tuple[str, ...] = ()

    def has_failed(self, *, strict: bool) -> bool:
        """Whether there are errors; if strict, or warnings."""
        return bool(self.findings if strict else self.count(Level.ERROR))

    def count(self, level: Level) -> int:
        return sum(finding.level is level for finding in self.findings)
