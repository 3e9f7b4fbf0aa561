"""Make the machines of a rehearsal with systemd-nspawn: half a second each, on this kernel."""

from __future__ import annotations

from shipit.lab.commands import LabError
from shipit.lab.image import USUAL, obstacles, title
from shipit.lab.lab import Lab
from shipit.rehearsal.providers.base import Provider


def _check() -> None:
    if reasons := obstacles():
        what = f"no machines can be booted here: {'; '.join(reasons)}"
        raise LabError("no-lab", what, hint="or rehearse on virtual machines: --provider vagrant")


def of(suite: str) -> Provider:
    """Return the provider of machines that run this suite.

    Raises:
        LabError: there is no such suite.
    """
    return Provider(
        kind=f"systemd-nspawn, {title(suite)}",
        limits="The machines share this machine's kernel and clock, and reach no other network:"
        " what needs a database, a DNS name or another kernel has not been rehearsed.",
        unsupported=frozenset(),
        check=_check,
        up=lambda names, folder, report: Lab.up(names, folder, emit=report, suite=suite),
        with_suite=of,
    )


PROVIDER = of(USUAL)
