"""One word for each thing: coined words stay out of code, docs and tests.

A word counts as a whole, in any case, and as a part of a name: `old_veil` and `Veil()` have `veil`.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from project import TOP

# The word, and what to write in its place. Add one when the last place that uses it is gone.
WRITE = {
    "behold": "see",
    "board": "progress",
    "bring back": "roll back",
    "brings back": "rolls back",
    "brought back": "rolled back",
    "call back": "roll back",
    "casting": "hosts, or assign",
    "clear_throat": "terminate_line",
    "conduct": "run",
    "confess": "report, or bug",
    "crew": "connections",
    "customers": "clients",
    "doom": "mark",
    "expel": "evict",
    "face": "output",
    "faces": "outputs",
    "gathered": "collected",
    "glance": "observation, or report",
    "goes back": "rolls back",
    "in the place of": "instead of",
    "judgement": "check",
    "goods": "bundle",
    "knock": "accept probe",
    "masking": "redaction",
    "mended": "fixed",
    "mending": "fixing",
    "mends": "fixes",
    "nameless": "PLACEHOLDER",
    "noting": "ErrorCollector",
    "outlet": "stream",
    "playbill": "report",
    "pulse": "load",
    "puts right": "repairs",
    "scene": "context, or state",
    "scenes": "results",
    "set_aside": "quarantine",
    "sights": "observations",
    "soak": "bake",
    "spectator": "client",
    "stories": "scenarios",
    "story": "scenario, or simulation",
    "surroundings": "environment",
    "tale": "scenario",
    "teller": "formatter",
    "telling": "reporting",
    "tells": "reports, or shows",
    "told": "reported",
    "veil": "redactor",
    "voice": "event log",
    "what ran before": "the previous release",
    "wish": "request",
    "wishes": "requests",
    "wording": "messages",
}
# What pages must not say, besides.
WRITE_IN_PAGES = {
    "a person": "an operator, or you",
    "called back": "rolled back",
    "customer": "client",
    "gone back": "rolled back",
    "go back": "roll back",
    "going back": "rolling back",
    "ledger": "history",
    "mend": "fix",
    "prove": "check, or verify",
    "proven": "healthy, or verified",
    "proves": "checks",
    "way back": "rollback",
    "whoever": "a user who",
}
# Texts that keep the word: names on the disk, codes, words of the protocol.
ALLOWED: dict[str, tuple[str, ...]] = {
    "ledger": ("ledger.jsonl",),  # the file
    "gone back": ("gone-back",),  # an error code
    "soak": ("soak-failed",),  # an error code
    "called back": ("called-back",),  # an error code
    "proven": ("/proven`", "`proven`"),  # a file of each release
}
SELF = Path(__file__).resolve()
PAGES = (TOP / "README.md", *(TOP / "docs").rglob("*.md"))


@cache
def texts() -> dict[Path, str]:
    code = [path for name in ("src", "tests") for path in (TOP / name).rglob("*.py")]
    files = [path for path in (*PAGES, *code) if path.resolve() != SELF]
    return {path: path.read_text(encoding="utf-8") for path in files}


def found(word: str) -> list[str]:
    """Return each place that has the word, but for the texts that keep it."""
    first, *others = word.split(" ")
    spaced = r"[\s_-]+".join([first, *others])  # two words may stand on two lines, or be a name
    pattern = re.compile(rf"(?<![a-z]){spaced}(?![a-z])", re.IGNORECASE)
    places = []
    for path, text in texts().items():
        if first not in text.lower():
            continue
        rest = text
        for kept in ALLOWED.get(word, ()):
            rest = rest.replace(kept, "")
        lines = [rest.count("\n", 0, match.start()) + 1 for match in pattern.finditer(rest)]
        places += [f"{path.relative_to(TOP)}:{line}" for line in lines]
    return places


@pytest.mark.parametrize("word", WRITE)
def test_a_coined_word_is_not_used(word: str) -> None:
    assert found(word) == [], f"write: {WRITE[word]}"


@pytest.mark.parametrize("word", WRITE_IN_PAGES)
def test_a_coined_word_is_not_used_in_pages(word: str) -> None:
    places = [place for place in found(word) if place.startswith(("docs/", "README"))]
    assert places == [], f"write: {WRITE_IN_PAGES[word]}"


def test_only_words_of_the_tables_are_kept_and_each_text_that_keeps_one_is_there() -> None:
    assert ALLOWED.keys() <= WRITE.keys() | WRITE_IN_PAGES.keys()
    everything = "\n".join(texts().values())
    assert all(kept in everything for each in ALLOWED.values() for kept in each)
