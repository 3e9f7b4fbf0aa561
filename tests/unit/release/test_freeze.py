"""Deploys in a window that the playbook freezes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from shipit.commands import deploy
from shipit.errors import NotNowError
from shipit.release import freeze
from shipit.release.inputs import RunOptions, targets
from unit.rollout.test_lying_host import PLAYBOOK

if TYPE_CHECKING:
    from pathlib import Path

FROZEN = datetime(2026, 6, 6, 12, tzinfo=UTC)
FREEZE = """
freeze:
  - {when: "2020-01-01 00:00..2020-01-02 00:00", timezone: UTC}
  - {when: "Fri 16:00..Mon 08:00", timezone: Europe/Berlin, reason: nobody is on call}
"""


@pytest.fixture
def run(tmp_path: Path) -> RunOptions:
    (tmp_path / "playbook.yaml").write_text(PLAYBOOK.rstrip() + FREEZE)
    (tmp_path / "hosts.yaml").write_text("all: {hosts: {web1: {}, web2: {}}}\n")
    return RunOptions(tmp_path / "playbook.yaml", (tmp_path / "hosts.yaml",), limit="web1")


def test_a_deploy_in_a_window_is_refused_with_its_end_and_place(run: RunOptions) -> None:
    found = targets(run)
    with pytest.raises(NotNowError) as caught:
        freeze.refuse(found, FROZEN)
    (mistake,) = caught.value.mistakes
    assert caught.value.exit_status == 3
    assert mistake.code == "frozen"
    assert mistake.what.endswith("are frozen until Mon 2026-06-08 08:00 CEST: nobody is on call")
    lines = run.playbook.read_text().splitlines()
    assert mistake.place
    assert "Fri 16:00" in lines[mistake.place.line - 1]
    freeze.refuse(found, datetime(2026, 6, 9, tzinfo=UTC))


def test_a_plan_says_it(run: RunOptions) -> None:
    (found,) = targets(run)
    (note,) = freeze.notes(found, FROZEN)
    assert "frozen until Mon 2026-06-08 08:00 CEST" in note
    assert "--override-freeze -m WHY" in note
    assert freeze.notes(found, datetime(2026, 6, 9, tzinfo=UTC)) == ()


def test_nothing_is_built_or_asked_in_a_window(run: RunOptions) -> None:
    always = 'freeze: [{when: "2020-01-01 00:00..2999-01-01 00:00", timezone: UTC}]\n'
    run.playbook.write_text(PLAYBOOK.rstrip() + "\n" + always)
    folder = run.playbook.parent
    for name in ("dist", "wheels"):
        (folder / name).mkdir()
    for name in ("dist/demo-1.1.0-py3-none-any.whl", "requirements.lock"):
        (folder / name).write_text("read later")
    with pytest.raises(NotNowError, match="until Tue 2999-01-01"):
        deploy.deploy(run, lambda _: None)
