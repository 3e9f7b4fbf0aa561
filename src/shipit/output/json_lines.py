"""Write a run as JSON lines: one object per line, the last one the result.

Each line is complete and carries `event` (kebab-case) and `time` (ISO 8601, UTC). The last line of
any command is `{"event": "result", "outcome": ..., "exit_status": ..., "hosts": {...}}`, also after
bad input or a bug in shipit. New keys may be added; existing keys keep their meaning.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from shipit.errors import InputError, ShipitError
from shipit.events import (
    Event,
    Fetching,
    HostFailed,
    Outcome,
    RunBegan,
    RunEnded,
    SecretsKnown,
    Sent,
)
from shipit.output import messages
from shipit.output.redaction import redacted
from shipit.output.stream import OutputStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import EventDict

    from shipit.events import HostResult
    from shipit.output.layout import Diagnostic, Part
    from shipit.output.redaction import Redactor

_WORSE = (
    *(Outcome.UNCHANGED, Outcome.COMMITTED, Outcome.DISCARDED, Outcome.ROLLED_BACK),
    *(Outcome.UNREACHABLE, Outcome.UNKNOWN, Outcome.STUCK),
)  # a host in several deployments of a playbook ends with the worst of its outcomes


class JsonOutput:
    """The output for programs."""

    def __init__(self, stream: TextIO, *, verbosity: int, redactor: Redactor) -> None:
        self._verbosity, self._redactor = verbosity, redactor
        self._hosts: dict[str, HostResult] = {}
        self._runs: list[dict[str, object]] = []
        self._is_answered = self._is_run = False
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", OutputStream(stream, redactor))),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _event_first,
                structlog.processors.JSONRenderer(default=_as_json),
                _without_delete,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def __call__(self, event: Event) -> None:
        """Write one event; of an upload's progress only the end, unless verbose."""
        if isinstance(event, SecretsKnown):
            self._redactor.learn(event.hide)
            return
        if isinstance(event, Fetching):  # of use to those who wait alone
            return
        if isinstance(event, Sent) and event.done < event.total and not self._verbosity:
            return
        self._is_run = self._is_run or isinstance(event, RunBegan)
        if isinstance(event, RunEnded):
            self._remember(event)
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()
        self._write(kebab, vars(event))

    def quiet(self, event: Event) -> None:
        """Drop an event: a query is answered by one document. Secrets are still learnt."""
        if isinstance(event, SecretsKnown):
            self(event)

    def aside(self, event: Event) -> None:
        """Write failures among the lines of a log."""
        if isinstance(event, (HostFailed, SecretsKnown)):
            self(event)

    def answer(
        self, what: str, status: int, _parts: Sequence[Part | Diagnostic], /, **data: object
    ) -> None:
        """Write the one document that answers a query."""
        self._result(status, {"what": what, **data})
        self._is_answered = True

    def log(self, host: str, text: str) -> None:
        for line in text.rstrip("\n").split("\n"):
            self._write("log", {"host": host, "text": line})

    def error(self, error: ShipitError) -> None:
        """Write the error that ended the command; each mistake on its own line."""
        if isinstance(error, InputError):
            names: tuple[str, ...] = ("code", "what", "hint", "place", "evidence")
            found = [{name: getattr(mistake, name) for name in names} for mistake in error.mistakes]
        else:
            names = ("code", "what", "host", "step", "hint", "evidence")
            known = {name: value for name, value in vars(error).items() if name in names}
            found = [known or {"code": "error", "what": str(error)}]
        for fields in found:
            self._write("error", fields)

    def bug(self, error: BaseException, trace: str) -> None:
        """Write a bug in shipit."""
        self._write("error", {"code": "bug", "what": repr(error), "traceback": trace})

    def interrupt(self) -> None:
        """Write a Ctrl-C that no run has reported itself."""
        what = messages.interrupted(is_run=self._is_run)
        self._write("error", {"code": "interrupted", "what": what})

    def conclude(self, status: int) -> None:
        """Write the result line, unless an answer was one already."""
        if not self._is_answered:
            self._result(status, {"hosts": self._hosts, "runs": self._runs})

    def _remember(self, ended: RunEnded) -> None:
        outcomes = {host: result.outcome.value for host, result in ended.hosts.items()}
        run = {"what": ended.what, "app": ended.app, "hosts": outcomes}
        self._runs.append({**run, "mixed_seconds": round(ended.mixed_seconds, 1)})
        for host, result in ended.hosts.items():
            known = self._hosts.get(host, result)
            self._hosts[host] = max(known, result, key=lambda it: _WORSE.index(it.outcome))

    def _result(self, status: int, data: Mapping[str, object]) -> None:
        head = {"outcome": messages.outcome(status), "exit_status": status}
        self._write("result", {**head, **data})

    def _write(self, event: str, data: Mapping[str, object]) -> None:
        self._log.info(event, **redacted(dict(data), self._redactor))


def _as_json(value: object) -> object:
    """Convert an enum or a dataclass; everything else is JSON already."""
    return value.value if isinstance(value, Enum) else asdict(cast("Any", value))


def _without_delete(_logger: object, _method: str, line: Any) -> str:  # noqa: ANN401 - a text by now
    """Escape DEL: JSON leaves it as it is, and a terminal acts on it."""
    return str(line).replace("\x7f", "\\u007f")


def _event_first(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Put the event's name and time first in each line."""
    return {"event": fields.pop("event"), "time": fields.pop("time"), **fields}
