"""Find the services of a playbook whose program is in no locked wheel. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shipit.errors import Mistake, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from shipit.playbook.models import Deployment
    from shipit.playbook.reader import Draft

_OF_A_VENV = re.compile(r"python(\d+(\.\d+)?)?")


def unknown(draft: Draft, wanted: Deployment, brought: Collection[str]) -> Iterator[Mistake]:
    """Yield a mistake for each service whose program would not be in the release's venv/bin.

    `brought` are the programs of its wheels. Those of checks and `smoke` may be the host's own, and
    a custom template may do anything.
    """
    for name, service in wanted.services.items():
        program = "" if service.unit else service.command.partition(" ")[0]
        if not program or "/" in program or program in brought or _OF_A_VENV.fullmatch(program):
            continue
        what = f"no locked wheel has the program {program!r}"
        hint = nearest(program, sorted(brought)) or "lock the package that has it"
        hint += "; a program of the host itself needs its absolute path"
        place = draft.place(("services", name, service.command_key))
        yield Mistake("unknown-program", what, place, hint)
