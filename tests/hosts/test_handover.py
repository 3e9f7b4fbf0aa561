"""While releases come and go, no request is lost, and none is answered by a broken release."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hosts.load import Demand
from load.deploys import BROKEN, GOOD, GUNICORN, ROLLBACK, TINYAPP, UVICORN, App, DeployedApp, Step
from patience import until

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

PATIENCE = 60.0  # seconds
HOST = "web1"
# With `restart`, a broken release that answers reaches clients; the other two never do.
MET_BY_NOBODY = {"restart": slice(1, None), "overlap": slice(None)}
# Few, as other tests are at work beside: `make load` is the one that measures.
CLIENTS = Demand(rate=100, kept=5, fresh=5, long=1, long_page="/slow?seconds=3")
SERVICE_RESTARTS = 1012  # what a websocket gets: IANA's registry of close codes


@pytest.mark.parametrize(
    ("app", "handover"),
    [
        pytest.param(TINYAPP, "restart", id="tinyapp-restart"),
        pytest.param(TINYAPP, "overlap", id="tinyapp-overlap"),
        pytest.param(GUNICORN, "overlap", id="gunicorn-overlap", marks=pytest.mark.index),
        pytest.param(UVICORN, "overlap", id="uvicorn-overlap", marks=pytest.mark.index),
    ],
)
def test_no_request_is_lost_by_deploys_broken_releases_and_a_rollback(
    lab: Lab, tmp_path: Path, app: App, handover: str
) -> None:
    lab.reset(HOST)
    deployed = DeployedApp.set(tmp_path, lab, HOST, app, handover)
    broken = [Step(BROKEN, fault) for fault in app.faults[MET_BY_NOBODY[handover]]]
    with deployed.clients(replace(CLIENTS, websocket=app.websocket)) as load:
        until(lambda: load.tally.get("requests"), lambda: "no request yet", PATIENCE)
        for step in (Step(GOOD), *broken, Step(ROLLBACK)):
            deployed.run_step(step)
    assert load.result.failures == []
    assert set(load.result.versions) == {"1.0.1", "1.0.2"}
    # At the deploy and at the rollback: within stop_timeout, after which nothing would be reported.
    closes = [close.code for close in load.result.closes]
    assert closes == ([SERVICE_RESTARTS] * 2 if app.websocket else [])
