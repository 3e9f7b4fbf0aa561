"""What the commands do, imported only when it is asked for.

Promises that `shipit --help` and shell completion load none of it. It is also the seam at which a
test of the command line puts its own answers. It holds no logic.
"""

# ruff: noqa: PLC0415 - importing late is this module's purpose

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from shipit.agent.protocol import History, Status
    from shipit.doctor import Finding
    from shipit.events import Emit, Problem
    from shipit.plan import HostPlan
    from shipit.wishes import Run


class UseCases:
    """The use cases, each under the name of its command."""

    def deploy(self, run: Run, emit: Emit) -> int:
        from shipit import deploy

        return deploy.deploy(run, emit)

    def rollback(self, run: Run, emit: Emit, to: str | None) -> int:
        from shipit import deploy

        return deploy.rollback(run, emit, to)

    def attach(self, run: Run, emit: Emit, *, take_over: bool) -> int:
        from shipit import attach

        return attach.attach(run, emit, take_over=take_over)

    def adopt(self, run: Run, emit: Emit) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        from shipit import adopt

        return adopt.adopt(run, emit)

    def plan(self, run: Run, emit: Emit) -> Sequence[tuple[str, Sequence[HostPlan]]]:
        from shipit import look

        return look.plan(run, emit)

    def status(self, run: Run, emit: Emit) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        from shipit import look

        return look.status(run, emit)

    def releases(
        self, run: Run, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, History | Problem]]]:
        from shipit import look

        return look.releases(run, emit)

    def logs(
        self,
        run: Run,
        emit: Emit,
        write: Callable[[str, str], None],
        *,
        lines: int,
        follow: bool,
        service: str,
    ) -> int:
        from shipit import look

        return look.logs(run, emit, write, lines=lines, follow=follow, service=service)

    def doctor(self, run: Run, emit: Emit) -> Sequence[Finding]:
        from shipit import doctor

        return doctor.examine(run, emit)

    def rehearse(
        self,
        run: Run,
        emit: Emit,
        *,
        machines: tuple[str, str],  # provider and suite
        keep: bool,
        report: Path | None,
        faults: bool,
    ) -> int:
        from shipit import rehearse

        choice = rehearse.MachineChoice(*machines)
        return rehearse.rehearse(run, emit, choice=choice, keep=keep, report=report, faults=faults)

    def schema(self) -> dict[str, object]:
        from shipit import spec

        return spec.schema()
