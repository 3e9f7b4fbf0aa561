"""Say once, at the end of a run, that tests with real hosts were left out, and how to run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.lab import obstacles

if TYPE_CHECKING:
    import pytest

VAGRANT = (
    "vagrant init debian/bookworm64 && vagrant up && "
    "vagrant ssh -c 'sudo apt-get install -y make && make -C /vagrant clean test'"
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reasons := obstacles():
        why = "; ".join(reasons)
        terminalreporter.write_line(f"no real hosts here ({why}); in a virtual machine: {VAGRANT}")
