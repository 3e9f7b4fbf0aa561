"""The use cases of the commands, imported only when they are called.

`shipit --help` and shell completion import none of them. Tests of the command line replace this
class with their own answers. It holds no logic.
"""

# ruff: noqa: PLC0415 - late imports are this module's purpose

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from shipit.agent.protocol.messages import History, Status
    from shipit.commands.doctor import Finding
    from shipit.events import Emit, Problem
    from shipit.release.inputs import RunOptions
    from shipit.release.plan import HostPlan


class UseCases:
    """The use cases, each under the name of its command."""

    def deploy(self, run: RunOptions, emit: Emit) -> int:
        from shipit.commands import deploy

        return deploy.deploy(run, emit)

    def rollback(self, run: RunOptions, emit: Emit, to: str | None) -> int:
        from shipit.commands import deploy

        return deploy.rollback(run, emit, to)

    def attach(self, run: RunOptions, emit: Emit, *, take_over: bool) -> int:
        from shipit.commands import attach

        return attach.attach(run, emit, take_over=take_over)

    def adopt(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        from shipit.commands import adopt

        return adopt.adopt(run, emit)

    def plan(self, run: RunOptions, emit: Emit) -> Sequence[tuple[str, Sequence[HostPlan]]]:
        from shipit.commands import inspect

        return inspect.plan(run, emit)

    def status(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        from shipit.commands import inspect

        return inspect.status(run, emit)

    def releases(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, History | Problem]]]:
        from shipit.commands import inspect

        return inspect.releases(run, emit)

    def logs(
        self,
        run: RunOptions,
        emit: Emit,
        write: Callable[[str, str], None],
        *,
        lines: int,
        follow: bool,
        service: str,
    ) -> int:
        from shipit.commands import inspect

        return inspect.logs(run, emit, write, lines=lines, follow=follow, service=service)

    def doctor(self, run: RunOptions, emit: Emit) -> Sequence[Finding]:
        from shipit.commands import doctor

        return doctor.examine(run, emit)

    def rehearse(
        self,
        run: RunOptions,
        emit: Emit,
        *,
        machines: tuple[str, str],  # provider and suite
        keep: bool,
        report: Path | None,
        faults: bool,
    ) -> int:
        from shipit.rehearsal.providers.base import MachineChoice
        from shipit.rehearsal.run import rehearse

        choice = MachineChoice(*machines)
        return rehearse(run, emit, choice=choice, keep=keep, report=report, faults=faults)

    def schema(self) -> dict[str, object]:
        from shipit.playbook import reader

        return reader.schema()
