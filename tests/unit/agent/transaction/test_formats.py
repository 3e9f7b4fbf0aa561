"""What an earlier version has written on a host is read by this one.

A controller brings its own agent along, so requests and answers need no other version. But a
release is rolled back, followed and recovered by another version than the one that deployed it.
Each file in tests/formats was written by a version that was in use, and is never changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fake_deploy import Simulation, manifest, put
from project import TESTS
from shipit.agent.protocol.balancers import Drained
from shipit.agent.protocol.codec import from_json
from shipit.agent.protocol.controls import Control
from shipit.agent.protocol.hooks import HookLine
from shipit.agent.protocol.manifest import Manifest
from shipit.agent.protocol.messages import MESSAGES
from shipit.agent.protocol.migrations import MigrationLine
from shipit.agent.records import releases
from shipit.agent.records.history import Entry
from shipit.agent.records.registry import Registration
from shipit.agent.records.watches import Findings, Watched
from shipit.agent.system import files
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import MODE

VERSIONS = sorted((TESTS / "formats").glob("*.json"))
KINDS = {
    "history": Entry,
    "registration": Registration,
    "manifest": Manifest,
    "hook": HookLine,
    "control": Control,
    "migration": MigrationLine,
    "drained": Drained,
    "watched": Watched,
    "findings": Findings,
}
WRITTEN = [
    (path, name) for path in VERSIONS for name in KINDS if name in json.loads(path.read_text())
]


@pytest.fixture(params=VERSIONS, ids=lambda path: path.stem)
def written(request: pytest.FixtureRequest) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request.param.read_text())
    return content


def test_every_line_of_an_event_log_of_an_earlier_version_is_read(written: dict[str, Any]) -> None:
    for name, fields in written.get("messages", {}).items():
        message = from_json(MESSAGES[name], fields)
        for field in set(fields) & {"txn", "release", "outcome", "state", "code", "app"}:
            assert getattr(message, field) == fields[field]


@pytest.mark.parametrize(("path", "name"), WRITTEN, ids=str)
def test_every_record_of_an_earlier_version_is_read(path: Path, name: str) -> None:
    written = json.loads(path.read_text())[name]
    read: Any = from_json(KINDS[name], written)
    assert changed(written, json.loads(json.dumps(asdict(read)))) == []


def changed(written: Any, read: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return what was read as something else; fields that are not known any more do not count."""
    if isinstance(written, dict):
        return [it for key in written.keys() & read for it in changed(written[key], read[key])]
    if isinstance(written, list):
        return [it for pair in zip(written, read, strict=True) for it in changed(*pair)]
    return [] if written == read else [f"{written!r} as {read!r}"]


def test_a_socket_of_an_earlier_version_listens_where_its_text_says(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    wanted = manifest(simulation.paths, "r1", overlaps=True)
    put(simulation.paths, wanted, port=8001)
    path = Path(simulation.paths.release("r1").manifest)
    written = json.loads(path.read_text())
    for unit in written["units"]:
        del unit["listen"], unit["command"]
    path.write_text(json.dumps(written))
    found = releases.manifest(simulation.paths, "r1")
    assert found is not None
    assert found.listen("web") == ("8001",)
    assert [unit.listen for unit in found.units] == [("8001",), ()]


def test_an_open_transaction_of_an_earlier_version_is_recovered_from_its_journal(
    written: dict[str, Any], tmp_path: Path
) -> None:
    simulation = Simulation.at(tmp_path)
    files.make_directory(str(Path(simulation.paths.journal).parent), files.PRIVATE)
    files.write(simulation.paths.journal, json.dumps(written["journal"]).encode(), MODE)
    found = simulation.store.load()
    assert found is not None
    assert (found.state, found.readable, found.healthy) == (State.CHECK, True, True)
    assert found.previous == written["journal"]["previous"]
    assert found.untouched == written["journal"]["untouched"]
