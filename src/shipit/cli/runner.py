"""Run one command, and report how it ended in every case.

The exit statuses are those of docs/cli.md. A user's mistake is reported without a traceback, Ctrl-C
as an interruption, and every other exception as a bug in shipit, with what a bug report needs.
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
    """Shows a run: to an operator (console) or to a program (json_lines)."""

    def __call__(self, event: Event) -> None: ...
    def quiet(self, event: Event) -> None: ...
    def aside(self, event: Event) -> None: ...
    def answer(self, what: str, status: int, parts: Sequence[Part], /, **data: object) -> None: ...
    def log(self, host: str, text: str) -> None: ...
    def error(self, error: ShipitError) -> None: ...
    def bug(self, error: BaseException, trace: str) -> None: ...
    def interrupt(self) -> None: ...
    def conclude(self, status: int) -> None: ...


@dataclass(frozen=True)
class CliOptions:
    """The parsed command line; an option that a command lacks has its default value."""

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
    """One command that is being run."""

    options: CliOptions
    output: Output
    use: UseCases
    redactor: Redactor
    ask_password: Callable[[str], str]

    def run_options(self, *, is_rehearsal: bool = False) -> RunOptions:
        """Return the options for the use cases.

        Raises:
            InputError: no inventory was found, or the extra variables are invalid.
        """
        from shipit.cli import options
        from shipit.release.inputs import RunOptions

        given = self.options
        names = options.REHEARSAL_NAMES if is_rehearsal else options.INVENTORY_NAMES
        config = options.ansible_config(os.environ)
        last = () if is_rehearsal else config.inventory
        inventory = options.inventory(given.playbook, given.inventory, os.environ, names, last)
        ask_vault = self._vault_password if given.ask_vault_pass else None
        files, identities = given.vault_password_file, given.vault_id
        passwords = options.passwords(config, files, identities, ask_vault)
        return RunOptions(
            playbook=given.playbook,
            inventory=inventory,
            config=config,
            passwords=passwords,
            limit=given.limit,
            extra_vars=options.extra_vars(given.extra_vars, passwords),
            forks=given.forks,
            become_password=self._become_password() if given.ask_become_pass else None,
            reason=given.reason,
            lock_wait=given.lock_wait,
            allow_older=given.allow_older,
        )

    def _become_password(self) -> Secret:
        return self._ask("BECOME password")

    def _vault_password(self, label: str) -> Secret:
        return self._ask(f"Vault password ({label})" if label else "Vault password")

    def _ask(self, prompt: str) -> Secret:
        from shipit.secrets import Mask, Secret

        password = Secret(self.ask_password(prompt))
        self.redactor.learn(Mask([password]))
        return password


def run_command(
    command: Callable[[Invocation], int],
    options: CliOptions,
    use: UseCases,
    ask_password: Callable[[str], str],
) -> int:
    """Run a command, report how it ended, and return the exit status."""
    from shipit.output.redaction import Redactor

    redactor = Redactor()
    output = _output(options, redactor)
    try:
        ended = command(Invocation(options, output, use, redactor, ask_password))
    except ShipitError as error:
        if options.verbose >= _TRACEBACKS:
            from shipit.output.printable import printable

            sys.stderr.write(printable(redactor(traceback.format_exc())))
        output.error(error)
        ended = error.exit_status
    except KeyboardInterrupt:
        output.interrupt()
        ended = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the process: reported as a bug
        output.bug(error, traceback.format_exc())
        ended = BUG
    output.conclude(ended)
    return ended


def _output(options: CliOptions, redactor: Redactor) -> Output:
    if options.json:
        from shipit.output.json_lines import JsonOutput

        return JsonOutput(sys.stdout, verbosity=options.verbose, redactor=redactor)
    from shipit.output.console import ConsoleOutput

    return ConsoleOutput(sys.stdout, sys.stderr, verbosity=options.verbose, redactor=redactor)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Make SIGTERM act as Ctrl-C: the run ends in order and reports what it did."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
