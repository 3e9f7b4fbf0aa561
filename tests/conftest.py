"""For all tests: which worker plays what, no clock for hypothesis, and what was left out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from shipit.lab.image import SUITES, obstacles

if TYPE_CHECKING:
    from collections.abc import Sequence

# Else each worker and each command compiles all anew, which takes seconds; what root compiles must
# not lie in the folder of somebody else.
if Path(__file__).stat().st_uid == os.geteuid():
    sys.dont_write_bytecode = False
VAGRANT = (
    "export SHIPIT_MACHINES=test && vagrant up && vagrant ssh-config >test.ssh && "
    "git archive HEAD | ssh -F test.ssh test 'tar x && sudo apt-get install -y make && make test'"
)
# What keeps a worker busy for minutes, the longest first: begun late, it would be waited for.
LONGEST = (
    "test_suites",
    "test_faults",
    "test_rehearse",
    "test_drift",
    "test_handover",
    "test_disk",
    "test_bad_input",
    "test_several_hosts",
    "test_overlap",
    "test_hard_times",
    "test_main_job",
    "test_interrupt",
    "test_secrets",
    "test_names",
    "test_locks",
    "test_recipes",
    "test_broken_release",
    "test_cost",
)

# By default an example that takes 0.2 s is an error: on a busy machine any of them may.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


class Modules(LoadScopeScheduling):  # type: ignore[misc] # it ships no types
    """Sends a module with real hosts to one worker: what it deploys there is deployed once.

    Of a module that plays on several distributions, each has its own hosts, and may have its own
    worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if "/hosts/" not in module:
            return nodeid
        return f"{module}{[suite for suite in SUITES if f'[{suite}' in nodeid]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Modules | None:  # noqa: ANN401 - as xdist gives it
    return Modules(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: rank(item.path.stem, LONGEST))


def rank(name: str, first: Sequence[str]) -> int:
    """Return the place of a name in an order; all that are not in it come after."""
    return first.index(name) if name in first else len(first)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once that tests with real hosts were left out, and how to run them."""
    if reasons := obstacles():
        why = "; ".join(reasons)
        terminalreporter.write_line(f"no real hosts here ({why}); in a virtual machine: {VAGRANT}")
