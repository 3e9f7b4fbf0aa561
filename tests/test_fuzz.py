"""Frames that are broken at random, in both directions: nothing but the protocol's own errors.

FUZZ is the number of frames for each direction; `make fuzz` reads 100,000.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostileframes import FROM_HOST, TO_HOST, Mutator, sample
from shipit import look, plan, rollbacks
from shipit.agent import framing, protocol
from shipit.agent.channel import Channel
from shipit.assignment import Assignment
from shipit.attach import Gathering, Watcher
from shipit.errors import HostError
from shipit.faces import reports, wording
from shipit.faces.board import Board
from shipit.faces.layout import plain
from shipit.session import Session
from shipit.transport.wire import FrameWire
from test_plan import facts, manifest, wanted
from test_session import ScriptedWire, job
from test_wire import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRAMES = int(os.environ.get("FUZZ", "4000"))
ANSWERED = (HostError,)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def broken(kinds: tuple[type[Any], ...], seed: int) -> Iterator[bytes]:
    mutator = Mutator(seed)
    for number in range(FRAMES):
        yield mutator.frame(kinds[number % len(kinds)])


@pytest.mark.parametrize("kind", protocol.MESSAGES.values())
def test_what_is_broken_was_whole_before(kind: type[Any]) -> None:
    line = json.dumps({"kind": kind.__name__, "size": 0, **sample(kind)}).encode() + b"\n"
    message, _ = protocol.unpack(line)
    assert protocol.pack(message) == protocol.pack(protocol.unpack(protocol.pack(message))[0])


def test_a_host_reads_nothing_but_requests_or_says_that_it_is_none() -> None:
    read = Counter[str]()
    for line in broken(TO_HOST, seed=1):
        try:
            frame = protocol.read(io.BytesIO(line))
            read[type(frame.message).__name__ if frame else "end"] += 1
        except protocol.ProtocolError:
            read["refused"] += 1
    assert sum(read.values()) == FRAMES
    assert FRAMES // 4 < read["refused"] < FRAMES
    assert {kind.__name__ for kind in TO_HOST} <= set(read)


def test_whatever_a_host_says_is_read_shown_and_decided_on_or_is_its_error() -> None:
    read = Counter[str]()
    for line in broken(FROM_HOST, seed=2):
        try:
            frame = FrameWire("web1", Script(line)).receive(1.0)
            read[type(frame.message).__name__ if frame else "end"] += 1
        except HostError as error:
            read[error.code] += 1
            continue
        if frame:
            use(frame.message)
    assert sum(read.values()) == FRAMES
    assert read["not-a-frame"] + read["link-lost"] > FRAMES // 4
    assert {kind.__name__ for kind in FROM_HOST} <= set(read)


def use(message: Any) -> None:  # noqa: ANN401 - any word of protocol
    """Do with a host's word all that a run does with it."""
    board, told = Board(), list[str]()

    def emit(event: Any) -> None:  # noqa: ANN401
        board.take(event, 0.0)
        told.append(wording.line(event, 8))
        json.dumps(reports.plain_data(event))

    with suppress(*ANSWERED):
        Session("web1", ScriptedWire(deque([message])), print, emit).word(
            protocol.End, within=1.0, awaited="the end"
        )
    for handle in USES.get(type(message), ()):
        with suppress(*ANSWERED):
            handle(message)
    json.dumps(asdict(message), allow_nan=False).encode()
    board.view(10)


def lines(parts: Any) -> list[str]:  # noqa: ANN401
    return list(plain(parts))


def attached(message: protocol.Attached) -> None:
    newer = replace(message.holder.attempt, started="2027-01-01T00:00:00Z")
    other = replace(message, holder=replace(message.holder, attempt=newer))
    found = Gathering({"web1": facts(), "web2": facts()}, {"web1": message, "web2": other})
    found.notes(take_over=True)
    found.states(take_over=True)
    wording.held(message.holder)
    Watcher(Session("web1", ScriptedWire(deque()), print, print), message)


def looked(said: protocol.Facts) -> None:
    found = Gathering({"web1": said}, {})
    found.states(take_over=False)
    found.notes(take_over=False)
    made = plan.compare("web1", wanted(manifest()), said)
    lines(reports.plans([("demo", [made])], diff=True))
    plan.refuse_if_it_does_not_fit(made, said)
    with suppress(HostError):
        plan.refuse_if_older(made)
    for to in (None, "1.0.0"):
        rollbacks.choose({"web1": rollbacks.candidates(said)}, to)


def ended(settled: protocol.Settled) -> None:
    wire = ScriptedWire(deque([protocol.Activating("t1"), settled]))
    Assignment(Session("web1", wire, print, lambda _: None), job()).switch()


USES: dict[type[Any], tuple[Callable[[Any], object], ...]] = {
    protocol.Facts: (looked,),
    protocol.Attached: (attached,),
    protocol.Settled: (ended,),
    protocol.Status: (lambda it: lines(reports.status([("demo", {"web1": it})])),),
    protocol.History: (lambda it: lines(reports.releases([("demo", {"web1": it})])),),
    protocol.Findings: (
        lambda it: [wording.problem(one, whole=True) for one in look._problems("web1", it)],
    ),
}


@settings(max_examples=300)
@given(st.data())
def test_a_value_of_any_kind_anywhere_is_refused_or_fits_its_type(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(protocol.MESSAGES.values())))
    message = sample(kind)
    if message:
        message[data.draw(st.sampled_from(sorted(message)))] = data.draw(ANYTHING)
    line = json.dumps({"kind": kind.__name__, "size": 0, **message}).encode()
    with suppress(protocol.ProtocolError):
        made, _ = protocol.unpack(line)
        assert protocol.unpack(protocol.pack(made))[0] == made


@pytest.mark.parametrize(
    "value",
    ["1e999", "NaN", "-Infinity", "9" * 100_000, "true", '"5"', "-1", "1e200", "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_no_lease_is_without_an_end(value: str) -> None:
    line = '{"kind":"Renew","size":0,"txn":"t1","lease":' + value + "}\n"
    with pytest.raises(protocol.ProtocolError):
        protocol.unpack(line.encode())


@pytest.mark.parametrize("release", ["../../etc", "..", ".", "", "a/b", "-x", "a\x1b[2J", "a\0b"])
def test_a_release_is_one_name_and_no_path(release: str) -> None:
    line = protocol.pack(replace(protocol.Healthy("t1", "r1"), release=release))
    with pytest.raises(protocol.ProtocolError, match=r"Healthy\.release"):
        protocol.unpack(line)


def test_a_line_without_an_end_is_an_error_and_not_half_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = protocol.pack(protocol.Unstage("t1"))
    with pytest.raises(protocol.ProtocolError, match="has no end"):
        protocol.read(io.BytesIO(whole[:-1]))
    monkeypatch.setattr(framing, "LINE_LIMIT", 30)
    with pytest.raises(protocol.ProtocolError, match="a line that is longer than 30 bytes"):
        protocol.read(io.BytesIO(whole))


def test_a_controller_keeps_no_more_of_a_line_than_its_limit() -> None:
    wire = FrameWire("web1", Script(*[b"x" * 2**20] * 20))
    with pytest.raises(HostError, match="a line of more than"):
        wire.receive(1.0)
    assert len(wire._buffer) < 10 * 2**20


def test_a_file_name_that_is_no_text_does_not_break_its_answer() -> None:
    odd = os.fsdecode(b"venv/caf\xe9")
    message, _ = protocol.unpack(protocol.pack(protocol.LogLines(odd)))
    assert message == protocol.LogLines("venv/caf?")


def test_a_channel_bears_the_longest_lease() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    channel = Channel(ours, theirs)
    channel.patience = 366 * 24 * 3600.0
    assert channel.heard(1) == b"x"
