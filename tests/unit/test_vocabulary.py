"""One word for each thing: coined words stay out of code, docs and tests.

A word counts as a whole, in any case, and as a part of a name: `old_veil` and `Veil()` have `veil`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import TOP

# The word, and what to write in its place.
WRITE = {
    "behold": "see",
    "clear_throat": "terminate_line",
    "conduct": "run",
    "confess": "bug",
    "expel": "evict",
    "playbill": "report",
    "set_aside": "quarantine",
}
# Texts that keep the word: JSON keys, codes, names on the disk, messages of the protocol.
ALLOWED: dict[str, tuple[str, ...]] = {}
SELF = Path(__file__).resolve()


def files() -> Iterator[Path]:
    yield TOP / "README.md"
    yield from (TOP / "docs").rglob("*.md")
    for folder in ("src", "tests"):
        yield from (path for path in (TOP / folder).rglob("*.py") if path.resolve() != SELF)


def found(word: str) -> Iterator[str]:
    """Yield each line that has the word and no leave for it, with its place."""
    spaced = word.replace(" ", r"\s+")  # two words may stand on two lines
    pattern = re.compile(rf"(?<![a-z]){spaced}(?![a-z])", re.IGNORECASE)
    leave = re.compile("|".join(map(re.escape, ALLOWED.get(word, ()))) or "(?!)")
    for path in files():
        text = leave.sub("", path.read_text(encoding="utf-8"))
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path.relative_to(TOP)}:{line}"


@pytest.mark.parametrize("word", WRITE)
def test_a_coined_word_is_not_used(word: str) -> None:
    assert list(found(word)) == [], f"write: {WRITE[word]}"


def test_only_words_of_the_table_have_leave_to_stay_and_each_leave_is_needed() -> None:
    everything = "\n".join(path.read_text(encoding="utf-8") for path in files())
    assert all(text in everything for texts in ALLOWED.values() for text in texts)
    assert ALLOWED.keys() <= WRITE.keys()
