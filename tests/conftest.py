"""For all tests: hypothesis has no clock, and tests that were left out are told at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from shipit.lab import obstacles

if TYPE_CHECKING:
    import pytest

VAGRANT = (
    "export SHIPIT_MACHINES=test && vagrant up && vagrant ssh-config >test.ssh && "
    "git archive HEAD | ssh -F test.ssh test 'tar x && sudo apt-get install -y make && make test'"
)

# By default an example that takes 0.2 s is an error: on a busy machine any of them may.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once that tests with real hosts were left out, and how to run them."""
    if reasons := obstacles():
        why = "; ".join(reasons)
        terminalreporter.write_line(f"no real hosts here ({why}); in a virtual machine: {VAGRANT}")
