"""What each error code means, from docs/errors.md, which the wheel has as well."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@dataclass(frozen=True)
class Meaning:
    """The cause of an error and its fix, in Markdown without links."""

    cause: str
    fix: str


def page() -> str:
    """Return the text of docs/errors.md: in the wheel, or at the top of the source tree."""
    package = Path(__file__).resolve().parents[2]
    packaged = package / "docs/errors.md"
    found = packaged if packaged.is_file() else package.parents[1] / "docs/errors.md"
    return found.read_text(encoding="utf-8")


def meanings(text: str) -> dict[str, Meaning]:
    """Return the rows of the page's tables, by their codes."""
    return {
        code: Meaning(_LINK.sub(r"\1", cause), _LINK.sub(r"\1", fix))
        for code, cause, fix in _ROW.findall(text)
    }
