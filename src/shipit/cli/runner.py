"""Run one command, and report how it ended in every case.

The exit statuses are those of docs/cli.md. A user's mistake is reported without a traceback, Ctrl-C
as an interruption, and every other exception as a bug in shipit, with what a bug report needs.
"""

# ruff: noqa: PLC0415 - importing late keeps help and completion quick

from __future__ import annotations

import inspect
import os
import signal
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from shipit.errors import ShipitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from shipit.events import Event
    from shipit.output.layout import Diagnostic, Part
    from shipit.output.redaction import Redactor
    from shipit.release.inputs import RunOptions
    from shipit.secrets import Secret

BUG, WRONG_INPUT, DISCARDED, INTERRUPTED = 1, 2, 3, 130
OVERRIDES = ("override_hold", "override_freeze")
_TRACEBACKS = 2  # the number of -v that shows them


class Output(Protocol):
    """Shows a run: to an operator (console) or to a program (json_lines)."""

    def __call__(self, event: Event) -> None: ...
    def quiet(self, event: Event) -> None: ...
    def aside(self, event: Event) -> None: ...
    def answer(
        self, what: str, status: int, parts: Sequence[Part | Diagnostic], /, **data: object
    ) -> None: ...
    def log(self, host: str, text: str) -> None: ...
    def error(self, error: ShipitError) -> None: ...
    def bug(self, error: BaseException, trace: str) -> None: ...
    def interrupt(self) -> None: ...
    def conclude(self, status: int) -> None: ...


@dataclass(frozen=True)
class Invocation:
    """One command that is being run."""

    output: Output
    redactor: Redactor
    ask_password: Callable[[str], str]
    given: Mapping[str, Any]  # the options of a run, by their names, as click has parsed them
    is_interactive: bool = False  # whether questions can be asked, and are not in the way

    def of(self, playbook: Path) -> Invocation:
        """Return the invocation for one of several playbooks."""
        return replace(self, given={**self.given, "playbook": playbook})

    def run_options(
        self, *, is_rehearsal: bool = False, needs_passwords: bool = True
    ) -> RunOptions:
        """Return the options for the use cases.

        Args:
            is_rehearsal: whether it is the inventory for a rehearsal.
            needs_passwords: whether the vault passwords of ansible.cfg are all needed; else only
                those count that are in a file.

        Raises:
            InputError: no inventory was found, or the extra variables are invalid.
        """
        from shipit.cli import options
        from shipit.inventory import ansible_cfg
        from shipit.release.inputs import RunOptions

        given = dict(self.given)
        config = ansible_cfg.load(os.environ, Path.cwd(), Path.home())
        if not needs_passwords:
            config = config.with_passwords_at_hand()
        names = options.REHEARSAL_NAMES if is_rehearsal else options.INVENTORY_NAMES
        found = options.inventory(
            given["playbook"],
            given.pop("inventory", ()),
            os.environ,
            names,
            last=() if is_rehearsal else config.inventory,
        )
        ask_vault = self._vault_password if given.pop("ask_vault_pass", False) else None
        files, identities = given.pop("vault_password_file", ()), given.pop("vault_id", ())
        passwords = options.passwords(config, files, identities, ask_vault)
        variables = options.extra_vars(given.pop("extra_vars", ()), passwords)
        overrides = [f"--{key.replace('_', '-')}" for key in OVERRIDES if given.get(key)]
        options.require_reason(given.get("reason", ""), *overrides)
        asks_sudo = given.pop("ask_become_pass", False)
        return RunOptions(
            inventory=found,
            config=config,
            passwords=passwords,
            extra_vars=variables,
            become_password=self._ask("BECOME password") if asks_sudo else None,
            is_interactive=self.is_interactive,
            **given,
        )

    def _vault_password(self, label: str) -> Secret:
        return self._ask(f"Vault password ({label})" if label else "Vault password")

    def _ask(self, prompt: str) -> Secret:
        from shipit.secrets import Mask, Secret

        password = Secret(self.ask_password(prompt))
        self.redactor.learn(Mask([password]))
        return password


def run_command(
    command: Callable[..., int],
    given: Mapping[str, Any],
    ask_password: Callable[[str], str],
) -> int:
    """Run a command, report how it ended, and return the exit status.

    Options that only this command has are its keyword arguments; the others are those of a run.
    """
    from shipit.output.redaction import Redactor

    of_run, redactor = dict(given), Redactor()
    verbosity, is_json = of_run.pop("verbose", 0), of_run.pop("json", False)
    output = _output(redactor, verbosity, is_json=is_json)
    parameters = inspect.signature(command).parameters.values()
    own = {
        each.name: of_run.pop(each.name) for each in parameters if each.kind is each.KEYWORD_ONLY
    }
    is_interactive = not is_json and all(each and each.isatty() for each in (sys.stdin, sys.stderr))
    invocation = Invocation(output, redactor, ask_password, of_run, is_interactive)
    try:
        ended = command(invocation, **own)
    except ShipitError as error:
        if verbosity >= _TRACEBACKS:
            from shipit.output.printable import printable

            sys.stderr.write(printable(redactor(traceback.format_exc())))
        output.error(error)
        ended = error.exit_status
    except click.UsageError:  # of options that do not go together; click shows it
        raise
    except KeyboardInterrupt:
        output.interrupt()
        ended = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the process: reported as a bug
        output.bug(error, traceback.format_exc())
        ended = BUG
    output.conclude(ended)
    return ended


def _output(redactor: Redactor, verbosity: int, *, is_json: bool) -> Output:
    if is_json:
        from shipit.output.json_lines import JsonOutput

        return JsonOutput(sys.stdout, verbosity=verbosity, redactor=redactor)
    from shipit.output.console import ConsoleOutput

    return ConsoleOutput(sys.stdout, sys.stderr, verbosity=verbosity, redactor=redactor)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Make SIGTERM act as Ctrl-C: the run ends in order and reports what it did."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
