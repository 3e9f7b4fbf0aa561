"""The exchange of messages with one host: requests out; answers, events and failures in.

It knows the order of messages, but not their bytes (transport) nor the rollout (assignment).

Every wait has a limit, and an answer that does not match its request is refused: a host that hangs,
never stops sending or lies affects only itself.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, cast

from shipit import events
from shipit.agent.protocol import messages
from shipit.agent.protocol.controls import AskControls, Control, Controls
from shipit.agent.protocol.hooks import HookOutput
from shipit.agent.protocol.migrations import PENDING_TIMEOUT
from shipit.agent.protocol.pulls import Pulled
from shipit.errors import HostError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from shipit.events import Emit
    from shipit.release.build import Blob

T = TypeVar("T")

# Limits of whole answers, in seconds. A host that hangs is noticed long before, by its silence
# (messages.SILENCE); these end the wait for one that only reports that it is still working.
ANSWER = 60.0  # needs no work
RECOVERY = 900.0  # settles an open transaction, or reads every byte of a release
WORK = 3600.0  # compares or unpacks a release; each step there has its own limit
SWITCH = 2 * 3600.0  # besides the playbook's times for its gate, bake and stops
LONG = 24 * 3600.0  # as long as another controller's fleet needs
FOLLOWED = 7 * 24 * 3600.0  # a log that is followed
SENTENCE_KEPT = 4000  # characters of a message's sentence
EVIDENCE_KEPT = 64 * 1024  # characters, the last ones; hundreds of hosts may fail at once
LINES_AT_ONCE = 100_000  # of a hook's output in one message
MOST_MESSAGES = 100_000  # before an answer: a check may flap four times a second for hours

ABSENT = frozenset({"no-answer", "link-lost"})  # codes of a host that does not respond


class Wire(Protocol):
    """Frames to and from an agent; `transport` has the real ones."""

    def send(self, message: object, body: bytes = b"") -> None: ...
    def receive(self, timeout: float, awaited: str = ...) -> messages.Frame | None: ...
    def close(self) -> None: ...


Ship: TypeAlias = "Callable[[tuple[Blob, ...], Callable[[int], None]], object]"
"""Sends blobs to the host, reporting the bytes sent so far; returns when the host has them all."""


class HostSession:
    """One host's channel: questions and answers."""

    def __init__(self, name: str, wire: Wire, ship: Ship, emit: Emit) -> None:
        self.name = name
        self.wire, self.ship, self.emit = wire, ship, emit

    def hello(self, request: messages.Hello) -> messages.Facts:
        """Return the host's facts, after it has settled an open transaction of an earlier run.

        Raises:
            Unreachable: the host hangs, or the link broke.
            HostError: bad-answer, or an error of `receive`.
        """
        awaited = "its facts, after settling an open transaction"
        try:
            within = RECOVERY if request.recover or request.compare else ANSWER
            facts = self.ask(request, messages.Facts, within, awaited)
        except HostError as error:
            if error.code not in ABSENT:
                raise
            what = (error.code, error.what)
            raise Unreachable(
                *what, host=self.name, step="hello", hint=error.hint, evidence=error.evidence
            ) from error
        if facts.protocol != messages.VERSION:
            spoken = f"version {facts.protocol} of the protocol, not {messages.VERSION}"
            raise self.bad_answer(f"its agent speaks {spoken}")
        if facts.current is not None and facts.current.app != request.app:
            raise self.bad_answer(
                f"it reports that {facts.current.app} runs instead of {request.app}"
            )
        return replace(facts, present=tuple(set(facts.present) & set(request.blobs)))

    def survey(self, request: messages.Survey) -> messages.Findings:
        within = ANSWER + (PENDING_TIMEOUT if request.pending else 0.0)
        return self.ask(request, messages.Findings, within, "its preflight checks")

    def status(self, request: messages.AskStatus) -> messages.Status:
        return self.ask(request, messages.Status, WORK, "its status")

    def adopt(self, attempt: messages.Attempt) -> messages.Status:
        return self.ask(messages.Adopt(attempt), messages.Status, ANSWER, "what it has adopted")

    def control(self, said: Control | AskControls) -> Controls:
        return self.ask(said, Controls, ANSWER, "what holds its deploys")

    def history(self) -> messages.History:
        return self.ask(messages.AskReleases(), messages.History, ANSWER, "its releases")

    def logs(self, request: messages.AskLogs, write: Callable[[str], None]) -> None:
        """Pass the host's log to `write`; with `follow` this lasts until the session is closed."""
        self.wire.send(request)
        kinds, within = (messages.LogLines, messages.End), FOLLOWED if request.follow else WORK
        deadline = time.monotonic() + within
        while isinstance(
            message := self.receive(*kinds, within=deadline - time.monotonic(), awaited="its log"),
            messages.LogLines,
        ):
            write(message.text)

    def attach(self, request: messages.Attach) -> messages.Attached | None:
        """Return the host's transaction, whose events follow from now on; None without one.

        Raises:
            RefusedError: it should be taken over, but its controller is alive.
        """
        self.wire.send(request)
        kinds = (messages.Attached, messages.End)
        message = self.receive(*kinds, within=ANSWER, awaited="what runs there")
        return message if isinstance(message, messages.Attached) else None

    def ask(self, request: object, kind: type[T], within: float, awaited: str) -> T:
        """Send a request and return its answer of this kind; raises as `receive` does."""
        self.wire.send(request)
        return cast("T", self.receive(kind, within=within, awaited=awaited))

    def close(self) -> None:
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def receive(self, *kinds: type, within: float, awaited: str) -> Any:  # noqa: ANN401 - one of `kinds`
        """Return the next message of these kinds; emit those before it as events.

        Args:
            kinds: the types of an answer.
            within: seconds for the whole answer; silence ends the wait sooner.
            awaited: what is awaited, for the error.

        Raises:
            RefusedError: the host answered with a Failure.
            HostError: the link broke (link-lost), the host hangs (no-answer), or its answer is
                impossible (not-a-frame, bad-answer).
        """
        deadline = time.monotonic() + within
        for _ in range(MOST_MESSAGES):
            left = deadline - time.monotonic()
            if left <= 0:
                waited = f"waited {within:.0f} s for {awaited}"
                what = f"{waited}; the host still reports that it is working"
                hint = "check its load and what the agent does there, then run the command again"
                raise HostError("no-answer", what, host=self.name, hint=hint)
            frame = self.wire.receive(min(left, messages.SILENCE), awaited)
            if frame is None:
                what = "the connection ended before the host had answered"
                hint = "run the command again: the host first settles the open transaction"
                raise HostError("link-lost", what, host=self.name, hint=hint)
            if isinstance(frame.message, kinds):
                return frame.message
            if isinstance(frame.message, messages.Failure):
                raise RefusedError(self.name, frame.message)
            self._emit_progress(frame.message)
        raise self.bad_answer(f"it sent {MOST_MESSAGES} other messages before {awaited}")

    def bad_answer(self, what: str) -> HostError:
        """Return the error for an answer that is well-formed but impossible."""
        hint = "inspect that host before you trust it again: no shipit agent sends this"
        return HostError("bad-answer", what, host=self.name, hint=hint)

    def _emit_progress(self, message: object) -> None:
        match message:
            case messages.StepBegan(step, detail):
                self.emit(events.StepBegan(self.name, _cut(step), _cut(detail)))
            case messages.StepEnded(step, seconds, ok):
                self.emit(events.StepEnded(self.name, _cut(step), seconds, ok))
            case messages.StepFailed(failure):
                self.emit(events.Noted(f"{_cut(failure.what)} [{failure.code}]", self.name))
            case Pulled(done, total):
                self.emit(events.Pulled(self.name, done, total))
            case HookOutput(hook, text):
                for line in text.split("\n")[:LINES_AT_ONCE]:
                    self.emit(events.HookOutput(self.name, _cut(hook), _cut(line)))
            case messages.Probed(check, ok, detail):
                self.emit(events.Probed(self.name, _cut(check), ok, _cut(detail)))
            case _:
                pass  # a sign of life, or an answer to a request that was given up


class RefusedError(HostError):
    """The host itself reports that a step failed."""

    def __init__(self, host: str, failure: messages.Failure) -> None:
        super().__init__(
            failure.code,
            _cut(failure.what),
            host=host,
            step=_cut(failure.step),
            # A host does not know its name in the inventory.
            hint=_cut(failure.hint).replace("--limit HOST", f"--limit {host}"),
            evidence=failure.evidence[-EVIDENCE_KEPT:],
        )


def _cut(text: str) -> str:
    """Limit the length of a sentence from a host."""
    return text if len(text) <= SENTENCE_KEPT else text[:SENTENCE_KEPT] + " ..."
