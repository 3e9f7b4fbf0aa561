"""While releases come and go, no request is lost, and none is answered by a broken release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.load import Demand
from load.story import BROKEN, GOOD, GUNICORN, ROLLBACK, TINYAPP, Act, App, Stage

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab import Lab

HOST = "web1"
# With `restart`, customers meet a broken release that answers; these two never do.
SILENT = {"restart": slice(1, None)}
# Few, as other tests are at work beside: `make load` is the one that measures.
CUSTOMERS = Demand(rate=100, kept=5, fresh=5, long=1, long_page="/slow?seconds=3")


# uvicorn is left to `make load`: told to stop, it closes connections that it has accepted and not
# read from, so that now and then a request is lost whatever the deployer does.
@pytest.mark.parametrize("handover", list(SILENT))
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(TINYAPP, id="tinyapp"),
        pytest.param(GUNICORN, id="gunicorn", marks=pytest.mark.index),
    ],
)
def test_no_request_is_lost_by_deploys_broken_releases_and_a_rollback(
    lab: Lab, tmp_path: Path, app: App, handover: str
) -> None:
    lab.reset(HOST)
    stage = Stage.set(tmp_path, lab, HOST, app, handover)
    broken = [Act(BROKEN, fault) for fault in app.faults[SILENT[handover]]]
    with stage.customers(CUSTOMERS) as load:
        for act in (Act(GOOD), *broken, Act(ROLLBACK)):
            stage.play(act)
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.1", "1.0.2"}
