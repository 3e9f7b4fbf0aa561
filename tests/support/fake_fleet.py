"""Fake hosts that answer a real controller with real frames; some of them misbehave.

    fleet = Fleet(("web1", "web2"), {"web2": Liar(protocol.Healthy, lambda honest: [b"junk"])})
    monkeypatch.setattr(transport, "connect", fleet.connect)

An honest host sends the right messages in the right order; the transaction has its own tests.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.controls import AskControls, Control, Controls
from shipit.agent.protocol.pulls import Pull, Pulled
from shipit.transport.channel import FrameWire
from unit.release.test_plan import facts, line, manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shipit.transport.endpoint import Endpoint

OLD, NEW = manifest("1.0.0"), manifest("1.1.0")
MORE = object()  # instead of bytes: the ones before are repeated forever


@dataclass
class Honest:
    """Answers like an agent that switches between the releases 1.1.0 and 1.0.0."""

    running: str = NEW.id
    pause: Control | None = None
    said: list[str] = field(default_factory=list)

    def facts(self) -> messages.Facts:
        lines = (line(OLD.id), line(NEW.id, running=True))
        return replace(facts(NEW), releases=lines, behind=(OLD.id,), free_bytes=2**40)

    def answers(self, request: Any) -> Iterator[Any]:  # noqa: ANN401 - any word of protocol
        match request:
            case messages.Hello():
                yield self.facts()
            case Pull():
                yield Pulled(1, 2)
                yield messages.End()
            case messages.Stage(manifest=wanted):
                yield messages.StepBegan("venv")
                yield messages.Staged(wanted.id, reused=False)
            case messages.Unstage(txn):
                yield messages.Settled(txn, Result.DISCARDED, self.running)
            case messages.Activate(attempt, release):
                self.running = release
                yield messages.Activating(attempt.txn)
                yield messages.StepBegan("check")
                yield messages.Healthy(attempt.txn, release)
            case messages.Settle(txn, verdict):
                self.running = self.running if verdict == "commit" else NEW.id
                outcome = Result.COMMITTED if verdict == "commit" else Result.ROLLED_BACK
                yield messages.Settled(txn, outcome, self.running)
            case messages.AskStatus():
                yield messages.Status(NEW.id, "1.1.0", "", "me", (), (), None, "")
            case messages.AskReleases():
                yield messages.History(self.facts().releases)
            case Control() | AskControls():
                yield self.controls(request)
            case _:
                pass

    def controls(self, asked: Control | AskControls) -> Controls:
        self.said += [asked.what] if isinstance(asked, Control) else []
        return Controls((), "txn-1", self.pause)


@dataclass(frozen=True)
class Liar:
    """Replaces one kind of answer; see `FakeStream` for the replacements."""

    place: type[Any]
    says: Callable[[Any], Iterable[object]]


@dataclass
class FakeStream:
    """The bytes of one host: b"" is the end, None is silence, MORE repeats the item before."""

    liar: Liar | None
    host: Honest = field(default_factory=Honest)
    _out: deque[object] = field(default_factory=deque)
    _in: bytes = b""

    def write(self, content: bytes) -> None:
        self._in += content
        while b"\n" in self._in:
            header, _, self._in = self._in.partition(b"\n")
            request, size = messages.unpack(header)
            self._in = self._in[size:]
            for answer in self.host.answers(request):
                lies = self.liar is not None and isinstance(answer, self.liar.place)
                said = self.liar.says(answer) if lies and self.liar else [answer]
                self._out += [it if isinstance(it, bytes) else _packed(it) for it in said]

    def read(self, timeout: float) -> bytes | None:
        if not self._out:
            raise ConnectionError("the fake host has nothing more to say")
        now = self._out[0]
        if now is None:  # it hangs; the test's timeout is short
            return None
        if len(self._out) > 1 and self._out[1] is MORE:
            assert isinstance(now, bytes)
            return now
        said = self._out.popleft()
        assert isinstance(said, bytes)
        return said

    def close_send(self) -> None: ...
    def close(self) -> None: ...
    def stderr(self) -> str:
        return ""

    def status(self) -> int | None:
        return None

    def is_up(self) -> bool:
        return True


def _packed(said: object) -> object:
    return said if said is None or said is MORE else messages.pack(said)


@dataclass
class FakeLink:
    """A connection to one fake host."""

    name: str
    liar: Liar | None
    rtt: float = 0.0

    def open(self, role: str = "serve") -> FrameWire:
        assert role == "serve"
        return FrameWire(self.name, FakeStream(self.liar))

    def close(self) -> None: ...


@dataclass(frozen=True)
class Fleet:
    """Fake hosts; those in `liars` misbehave."""

    liars: Mapping[str, Liar]

    def connect(self, endpoint: Endpoint, *_: object) -> FakeLink:
        return FakeLink(endpoint.name, self.liars.get(endpoint.name))


class NoNetwork:
    """Opens no connections ahead: those of a `Fleet` need none."""

    def __init__(self, **_: object) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
    def connect(self, _: Endpoint) -> object: ...
