"""Real-shaped inventories mean what ansible-core makes of them.

The expected reading is ansible-core's and is kept beside each inventory; it is compared here with
ours, and with ansible-core again. SHIPIT_GOLDEN=write writes it anew.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inventory_corpus import Case, cases, plain, without_folder
from unit.inventory.test_against_ansible import Ansible, ansible, as_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ansible"]  # the fixture

CASES = {case.name: case for case in cases()}
WRITES = os.environ.get("SHIPIT_GOLDEN") == "write"
# Ansible's program does not say where a host comes from.
UNKNOWN = {"inventory_file", "inventory_dir"}


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "ansible.cfg"))
    (tmp_path / "ansible.cfg").write_text("")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    return place


def comparable(case: Case, reading: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what JSON can hold
    """Return a reading less what only Ansible's own library knows, where its program was asked."""
    if not case.is_for_ansible:
        return reading
    return {
        "hosts": sorted(reading["hosts"]),
        "groups": {name: sorted(hosts) for name, hosts in reading["groups"].items() if hosts},
        "vars": {
            host: {name: value for name, value in found.items() if name not in UNKNOWN}
            for host, found in reading["vars"].items()
        },
    }


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_inventory_means_what_ansible_makes_of_it(case: Case, folder: Path) -> None:
    case.write(folder)
    expected = json.loads(case.expected.read_text())
    assert comparable(case, plain(case.read(folder), folder)) == comparable(case, expected)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_expected_reading_is_ansibles(case: Case, folder: Path, ansible: Ansible) -> None:
    case.write(folder)
    playbook = str(case.playbook(folder) or "")
    theirs = ansible.ask(case.sources(folder), playbook=playbook, vault=case.password)
    assert ("warns" in case.settings) or theirs["warnings"] == []
    found = as_json({key: theirs[key] for key in ("hosts", "groups", "vars")})
    reading = without_folder(found, folder)
    if WRITES:
        text = json.dumps(reading, indent=1, sort_keys=True, ensure_ascii=False)
        case.expected.write_text(text + "\n")
    assert json.loads(case.expected.read_text()) == reading
