"""Carry out one command, and tell how it ended whatever happens.

Promises the exit statuses of docs/cli.md: a person's mistake is told without a traceback, Ctrl-C is
told as what it is, and all else is our own bug, told with what a report of it needs. It knows
neither how the command line is parsed nor how a screen is drawn.
"""

# ruff: noqa: PLC0415 - importing late keeps help and completion quick

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shipit.errors import ShipitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shipit.cli.commands import UseCases
    from shipit.events import Event
    from shipit.output.layout import Part
    from shipit.output.redaction import Redactor
    from shipit.release.inputs import RunOptions
    from shipit.secrets import Secret

BUG, UNTOUCHED, INTERRUPTED = 1, 3, 130
_TRACEBACKS = 2  # the number of -v that shows them


class Output(Protocol):
    """What tells a run: to people (console) or to machines (jsonlines)."""

    def __call__(self, event: Event) -> None: ...
    def quiet(self, event: Event) -> None: ...
    def aside(self, event: Event) -> None: ...
    def answer(self, what: str, status: int, parts: Sequence[Part], /, **data: object) -> None: ...
    def log(self, host: str, text: str) -> None: ...
    def refuse(self, error: ShipitError) -> None: ...
    def bug(self, error: BaseException, trace: str) -> None: ...
    def interrupt(self) -> None: ...
    def conclude(self, status: int) -> None: ...


@dataclass(frozen=True)
class CliOptions:
    """The command line, understood; a command that lacks a flag has its default here."""

    playbook: Path = Path()
    inventory: tuple[Path, ...] = ()
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()
    forks: int = 30
    ask_become_pass: bool = False
    ask_vault_pass: bool = False
    vault_password_file: tuple[Path, ...] = ()
    vault_id: tuple[str, ...] = ()
    verbose: int = 0
    json: bool = False
    check: bool = False
    diff: bool = False
    lock_wait: float = 0.0
    allow_older: bool = False
    take_over: bool = False
    reason: str = ""
    to: str | None = None
    lines: int = 100
    follow: bool = False
    service: str = ""
    provider: str = "nspawn"
    suite: str = ""
    keep: bool = False
    faults: bool = False
    report: Path | None = None


@dataclass(frozen=True)
class Invocation:
    """One command under way."""

    asked: CliOptions
    face: Output
    use: UseCases
    veil: Redactor
    ask_password: Callable[[str], str]

    def run(self, *, is_rehearsal: bool = False) -> RunOptions:
        """Return what the use cases want to know.

        Raises:
            InputError: no inventory, or extra variables that make no sense.
        """
        from shipit.cli import options
        from shipit.release.inputs import RunOptions

        asked = self.asked
        names = options.REHEARSAL_NAMES if is_rehearsal else options.INVENTORY_NAMES
        config = options.ansible_config(os.environ)
        last = () if is_rehearsal else config.inventory
        inventory = options.inventory(asked.playbook, asked.inventory, os.environ, names, last)
        ask_vault = self._vault_password if asked.ask_vault_pass else None
        files, identities = asked.vault_password_file, asked.vault_id
        passwords = options.passwords(config, files, identities, ask_vault)
        return RunOptions(
            playbook=asked.playbook,
            inventory=inventory,
            config=config,
            passwords=passwords,
            limit=asked.limit,
            extra_vars=options.extra_vars(asked.extra_vars, passwords),
            forks=asked.forks,
            become_password=self._become_password() if asked.ask_become_pass else None,
            reason=asked.reason,
            lock_wait=asked.lock_wait,
            allow_older=asked.allow_older,
        )

    def _become_password(self) -> Secret:
        return self._asked("BECOME password")

    def _vault_password(self, label: str) -> Secret:
        return self._asked(f"Vault password ({label})" if label else "Vault password")

    def _asked(self, prompt: str) -> Secret:
        from shipit.secrets import Mask, Secret

        password = Secret(self.ask_password(prompt))
        self.veil.learn(Mask([password]))
        return password


def run_command(
    act: Callable[[Invocation], int],
    asked: CliOptions,
    use: UseCases,
    ask_password: Callable[[str], str],
) -> int:
    """Carry out a command and tell how it ended. Returns the exit status."""
    from shipit.output.redaction import Redactor

    veil = Redactor()
    face = _face(asked, veil)
    try:
        ended = act(Invocation(asked, face, use, veil, ask_password))
    except ShipitError as error:
        if asked.verbose >= _TRACEBACKS:
            from shipit.output.printable import printable

            sys.stderr.write(printable(veil(traceback.format_exc())))
        face.refuse(error)
        ended = error.exit_status
    except KeyboardInterrupt:
        face.interrupt()
        ended = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the process: our own bug, told as one
        face.bug(error, traceback.format_exc())
        ended = BUG
    face.conclude(ended)
    return ended


def _face(asked: CliOptions, veil: Redactor) -> Output:
    if asked.json:
        from shipit.output.json_lines import JsonOutput

        return JsonOutput(sys.stdout, verbosity=asked.verbose, veil=veil)
    from shipit.output.console import ConsoleOutput

    return ConsoleOutput(sys.stdout, sys.stderr, verbosity=asked.verbose, veil=veil)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: the run ends in order, and says what it did."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
