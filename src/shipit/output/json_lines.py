"""Tell a run to a machine: one JSON object a line, the last one the result.

Promises that each line is whole, carries `event` (kebab-case) and `time` (ISO 8601, UTC), and that
the last line of any command is `{"event": "result", "outcome": ..., "exit_status": ...,
"hosts": {...}}`, also after bad input or our own bug. New keys may come; none change their meaning.
It prints nothing for people.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from shipit.errors import HostError, InputError, ShipitError
from shipit.events import Event, HostFailed, Outcome, RunBegan, RunEnded, SecretsKnown, Sent
from shipit.output import messages
from shipit.output.redaction import redacted
from shipit.output.reports import plain_data
from shipit.output.stream import OutputStream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import EventDict

    from shipit.events import HostResult
    from shipit.output.layout import Part
    from shipit.output.redaction import Redactor

_WORSE = (
    *(Outcome.UNCHANGED, Outcome.DEPLOYED, Outcome.UNTOUCHED, Outcome.RETURNED),
    *(Outcome.UNREACHABLE, Outcome.UNKNOWN, Outcome.STUCK),
)  # a host that is in several deployments of a playbook has the worst of its outcomes


class JsonOutput:
    """The face for machines."""

    def __init__(self, stream: TextIO, *, verbosity: int, veil: Redactor) -> None:
        self._verbosity, self._veil = verbosity, veil
        self._hosts: dict[str, HostResult] = {}
        self._runs: list[dict[str, object]] = []
        self._is_answered = self._is_run = False
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(cast("TextIO", OutputStream(stream, veil))),
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _event_first,
                structlog.processors.JSONRenderer(),
                _without_delete,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def __call__(self, event: Event) -> None:
        """Write one event; of the bytes sent only the end, unless asked to be verbose."""
        if isinstance(event, SecretsKnown):
            self._veil.learn(event.hide)
            return
        if isinstance(event, Sent) and event.done < event.total and not self._verbosity:
            return
        self._is_run = self._is_run or isinstance(event, RunBegan)
        if isinstance(event, RunEnded):
            self._remember(event)
        self._write(_kebab(type(event).__name__), cast("dict[str, object]", plain_data(event)))

    def quiet(self, event: Event) -> None:
        """Drop an event: a question is answered by one document. Secrets are noted all the same."""
        if isinstance(event, SecretsKnown):
            self(event)

    def aside(self, event: Event) -> None:
        """Write what went wrong among the lines of a log."""
        if isinstance(event, (HostFailed, SecretsKnown)):
            self(event)

    def answer(self, what: str, status: int, _parts: Sequence[Part], /, **data: object) -> None:
        """Write the one document that answers a question."""
        self._result(status, {"what": what, **data})
        self._is_answered = True

    def log(self, host: str, text: str) -> None:
        for line in text.rstrip("\n").split("\n"):
            self._write("log", {"host": host, "text": line})

    def refuse(self, error: ShipitError) -> None:
        """Write why nothing more can be done; each mistake is a line of its own."""
        for fields in _error_fields(error):
            self._write("error", fields)

    def bug(self, error: BaseException, trace: str) -> None:
        """Write a bug of our own."""
        self._write("error", {"code": "bug", "what": repr(error), "traceback": trace})

    def interrupt(self) -> None:
        """Write that Ctrl-C ended it where no run was there to say what was done about it."""
        what = messages.interrupted(is_run=self._is_run)
        self._write("error", {"code": "interrupted", "what": what})

    def conclude(self, status: int) -> None:
        """Write the last line, unless an answer was it."""
        if not self._is_answered:
            self._result(status, {"hosts": plain_data(self._hosts), "runs": self._runs})

    def _remember(self, ended: RunEnded) -> None:
        outcomes = {host: result.outcome.value for host, result in ended.hosts.items()}
        self._runs.append({"what": ended.what, "app": ended.app, "hosts": outcomes})
        for host, result in ended.hosts.items():
            known = self._hosts.get(host, result)
            worst = max(known, result, key=lambda it: _WORSE.index(it.outcome))
            self._hosts[host] = worst

    def _result(self, status: int, data: Mapping[str, object]) -> None:
        head = {"outcome": messages.outcome(status), "exit_status": status}
        self._write("result", {**head, **data})

    def _write(self, event: str, data: Mapping[str, object]) -> None:
        shown = redacted(dict(data), self._veil)
        self._log.info(event, **shown)


def _without_delete(_logger: object, _method: str, line: Any) -> str:  # noqa: ANN401 - a text by now
    """Escape what JSON alone leaves as it is of the characters that a terminal acts on."""
    return str(line).replace("\x7f", "\\u007f")


def _event_first(_logger: object, _method: str, told: EventDict) -> EventDict:
    """Put what a person looks for in a line at its beginning."""
    return {"event": told.pop("event"), "time": told.pop("time"), **told}


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _error_fields(error: ShipitError) -> list[dict[str, object]]:
    if isinstance(error, InputError):
        return [
            {
                "code": mistake.code,
                "what": mistake.what,
                "hint": mistake.hint,
                "place": plain_data(mistake.place),
            }
            for mistake in error.mistakes
        ]
    if isinstance(error, HostError):
        names = ("code", "what", "host", "step", "hint", "evidence")
        return [{name: getattr(error, name) for name in names}]
    return [{"code": "error", "what": str(error)}]
