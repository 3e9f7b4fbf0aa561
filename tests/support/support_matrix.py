"""The table of docs/support.md: what was tested on which distribution, as recorded by its tests.

`make support` plays tests/hosts/test_suites.py with SUPPORT=FILE. Each test there that passes adds
a line to the file: what it `plays`, and the versions that the host itself has reported. Then

    python tests/support/support_matrix.py FILE

puts the table into the page. So no row of it is older than its run, or says what was not played.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from shipit.lab.image import SUITES

PAGE = Path(__file__).parents[2] / "docs/support.md"
BEGIN, END = "<!-- written by make support -->\n", "<!-- end -->\n"
COLUMNS = ("`--suite`", "distribution", "systemd", "Python", "app server", "played")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"
OWN = "none (standard library)"  # the app that most tests deploy is its own server
ENTRY = re.compile(r"(.+?)(?: \((.+)\))?")


@dataclass(frozen=True)
class Host:
    """What a host reports about itself."""

    suite: str
    distribution: str
    systemd: str
    python: str


@dataclass(frozen=True)
class Played:
    """What a test covered, and its figures if there are any."""

    host: Host
    server: str
    what: str
    outcome: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.outcome})" if self.outcome else self.what


def note(record: Path, played: Played) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a") as out:
        out.write(json.dumps(asdict(played)) + "\n")


def read(record: Path) -> list[Played]:
    """Return the recorded results in the order of the tests."""
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    return [Played(**{**row, "host": Host(**row["host"])}) for row in rows]


def table(played: list[Played]) -> str:
    """Return a row for each host and app server, in the order of the lab's suites."""
    places, suites = [(one.host, one.server) for one in played], list(SUITES)
    ordered = sorted(
        played,
        key=lambda one: (suites.index(one.host.suite), places.index((one.host, one.server))),
    )
    rows = []
    for (host, server), several in groupby(ordered, key=lambda one: (one.host, one.server)):
        cells = (f"`{host.suite}`", host.distribution, host.systemd, host.python, server)
        rows.append(f"| {' | '.join(cells)} | {'; '.join(map(str, several))} |\n")
    return HEAD + "".join(rows)


def put(page: str, rows: str) -> str:
    """Return the page with these rows in place of those that it has.

    Raises:
        ValueError: it has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    if not begin or END not in rest:
        raise ValueError(f"the page has no place for the table: {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{BEGIN}{rows}{END}{rest.partition(END)[2]}"


def claims(page: str) -> dict[tuple[str, str], set[str]]:
    """Return what a page claims was tested, by suite and app server, without figures."""
    rows = page.partition(BEGIN)[2].partition(END)[0].removeprefix(HEAD)
    found = {}
    for row in rows.splitlines():
        suite, *_, server, entries = (cell.strip() for cell in row.strip("|").split("|"))
        name = server if server == OWN else server.split()[0]
        matches = [ENTRY.fullmatch(entry) for entry in entries.split("; ")]
        found[suite.strip("`"), name] = {match[1] for match in matches if match}
    return found


def main(record: Path) -> None:
    page = PAGE.read_text()
    unfinished = PAGE.with_suffix(f".{os.getpid()}")
    unfinished.write_text(put(page, table(read(record))))
    unfinished.replace(PAGE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
