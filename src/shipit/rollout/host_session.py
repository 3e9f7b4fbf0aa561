"""The conversation with one host: requests out; answers, events and failures in.

Knows the order of the words, not their bytes (transport) and not what a rollout is (assignment).

No wait is without an end, and no answer is believed that does not fit its question: a host that
hangs, talks without end or lies costs the run itself and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar, cast

from shipit import events
from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from shipit.events import Emit
    from shipit.release.build import Blob

T = TypeVar("T")

# Limits of whole answers, in seconds. A host that hangs is noticed long before, by its silence
# (protocol.SILENCE); these end the wait for one that only says that it is still at work.
ANSWER = 60.0  # needs no work
RECOVERY = 900.0  # settles what an earlier run left open, or reads every byte of a release
WORK = 3600.0  # compares or unpacks a release; each step there has a limit of its own
SWITCH = 2 * 3600.0  # besides the times that the playbook gives its gate, bake and stops
LONG = 24 * 3600.0  # goes on for as long as another controller's fleet needs
FOLLOWED = 7 * 24 * 3600.0  # a log that is followed
SENTENCE_KEPT = 4000  # characters of what a host says in one sentence
EVIDENCE_KEPT = 64 * 1024  # characters: the end of it; hundreds of hosts may fail at once
MOST_WORDS = 100_000  # before an answer: a check may change its mind four times a second for hours

ABSENT = frozenset({"no-answer", "link-lost"})  # codes of a host that can't be talked to


class Wire(Protocol):
    """Frames to and from an agent; `transport` has the real ones."""

    def send(self, message: object, body: bytes = b"") -> None: ...
    def receive(self, timeout: float, awaited: str = ...) -> messages.Frame | None: ...
    def close(self) -> None: ...


Ship: TypeAlias = "Callable[[tuple[Blob, ...], Callable[[int], None]], object]"
"""Sends blobs to the host, telling the bytes done so far; returns when the host has them all."""


class HostSession:
    """One host's channel: questions and answers."""

    def __init__(self, name: str, wire: Wire, ship: Ship, emit: Emit) -> None:
        self.name = name
        self.wire, self.ship, self.emit = wire, ship, emit

    def hello(self, ask: messages.Hello) -> messages.Facts:
        """Return what the host says of itself, after it settled what an earlier run left open.

        Raises:
            Unreachable: the host has hung, or the link broke: it takes no part.
            HostError: bad-answer, or as of `word`.
        """
        awaited = "what it says of itself, after settling what was left open"
        try:
            within = RECOVERY if ask.recover or ask.compare else ANSWER
            facts = self.ask(ask, messages.Facts, within, awaited)
        except HostError as error:
            if error.code not in ABSENT:
                raise
            what = (error.code, error.what)
            raise Unreachable(
                *what, host=self.name, step="hello", hint=error.hint, evidence=error.evidence
            ) from error
        if facts.current is not None and facts.current.app != ask.app:
            raise self.bad_answer(
                f"it says that {facts.current.app} runs in the place of {ask.app}"
            )
        return replace(facts, present=tuple(set(facts.present) & set(ask.blobs)))

    def survey(self, ask: messages.Survey) -> messages.Findings:
        return self.ask(ask, messages.Findings, ANSWER, "what would keep the release from it")

    def status(self, ask: messages.AskStatus) -> messages.Status:
        return self.ask(ask, messages.Status, WORK, "its status")

    def adopt(self, attempt: messages.Attempt) -> messages.Status:
        return self.ask(messages.Adopt(attempt), messages.Status, ANSWER, "what it took over")

    def history(self) -> messages.History:
        return self.ask(messages.AskReleases(), messages.History, ANSWER, "its releases")

    def logs(self, ask: messages.AskLogs, write: Callable[[str], None]) -> None:
        """Hand the host's log to `write`; with `follow` this lasts until the session is closed."""
        self.wire.send(ask)
        kinds, within = (messages.LogLines, messages.End), FOLLOWED if ask.follow else WORK
        deadline = time.monotonic() + within
        while isinstance(
            word := self.word(*kinds, within=deadline - time.monotonic(), awaited="its log"),
            messages.LogLines,
        ):
            write(word.text)

    def attach(self, ask: messages.Attach) -> messages.Attached | None:
        """Return what runs on the host, which tells of itself from now on; None for nothing.

        Raises:
            RefusedError: it is to be taken over, and the controller that began it is there.
        """
        self.wire.send(ask)
        kinds = (messages.Attached, messages.End)
        word = self.word(*kinds, within=ANSWER, awaited="what runs there")
        return word if isinstance(word, messages.Attached) else None

    def ask(self, question: object, kind: type[T], within: float, awaited: str) -> T:
        """Return the answer of this kind to a question; raises as `word` does."""
        self.wire.send(question)
        return cast("T", self.word(kind, within=within, awaited=awaited))

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

    def word(self, *kinds: type, within: float, awaited: str) -> Any:  # noqa: ANN401 - one of `kinds`
        """Return the next word of these kinds; what is said before it becomes events.

        Args:
            kinds: of the words that are an answer.
            within: seconds for the whole answer; silence ends the wait sooner.
            awaited: what for, for the error.

        Raises:
            RefusedError: the host answered with a Failure.
            HostError: the link broke (link-lost), the host hangs (no-answer), or it says what can't
                be (not-a-frame, bad-answer).
        """
        deadline = time.monotonic() + within
        for _ in range(MOST_WORDS):
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._too_long(within, awaited)
            frame = self.wire.receive(min(left, messages.SILENCE), awaited)
            if frame is None:
                raise self._ended()
            if isinstance(frame.message, kinds):
                return frame.message
            if isinstance(frame.message, messages.Failure):
                raise RefusedError(self.name, frame.message)
            self._tell(frame.message)
        raise self.bad_answer(f"it sent {MOST_WORDS} other messages before {awaited}")

    def bad_answer(self, what: str) -> HostError:
        """Return the error for an answer that is well-formed and can't be true."""
        hint = "inspect that host before you trust it again: no agent of shipit sends this"
        return HostError("bad-answer", what, host=self.name, hint=hint)

    def _too_long(self, within: float, awaited: str) -> HostError:
        what = f"waited {within:.0f} s for {awaited}; the host still reports that it is working"
        hint = "check its load and what the agent does there, then run the command again"
        return HostError("no-answer", what, host=self.name, hint=hint)

    def _ended(self) -> HostError:
        hint = "run the same command again: the host first settles what was left open"
        what = "the connection ended before the host had answered"
        return HostError("link-lost", what, host=self.name, hint=hint)

    def _tell(self, message: object) -> None:
        match message:
            case messages.StepBegan(step, detail):
                self.emit(events.StepBegan(self.name, _cut(step), _cut(detail)))
            case messages.StepEnded(step, seconds, ok):
                self.emit(events.StepEnded(self.name, _cut(step), seconds, ok))
            case messages.StepFailed(failure):
                self.emit(events.Noted(f"{_cut(failure.what)} [{failure.code}]", self.name))
            case messages.Probed(check, ok, detail):
                self.emit(events.Probed(self.name, _cut(check), ok, _cut(detail)))
            case _:
                pass  # that it is there, or an answer to a question we no longer ask


class RefusedError(HostError):
    """The host itself says that a step failed."""

    def __init__(self, host: str, failure: messages.Failure) -> None:
        super().__init__(
            failure.code,
            _cut(failure.what),
            host=host,
            step=_cut(failure.step),
            # A host does not know how the inventory calls it.
            hint=_cut(failure.hint).replace("--limit HOST", f"--limit {host}"),
            evidence=failure.evidence[-EVIDENCE_KEPT:],
        )


def _cut(text: str) -> str:
    """Return the beginning of a text that is shown as one, however much of it a host says."""
    return text if len(text) <= SENTENCE_KEPT else text[:SENTENCE_KEPT] + " ..."
