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

from hostile_frames import FROM_HOST, TO_HOST, Mutator, sample
from shipit.agent.protocol import framing, messages
from shipit.agent.server.channel import Channel
from shipit.commands import inspect
from shipit.commands.attach import Follower, Replies
from shipit.errors import HostError
from shipit.output import messages as output_messages
from shipit.output import reports
from shipit.output.json_lines import JsonOutput
from shipit.output.layout import plain
from shipit.output.progress import Progress
from shipit.output.redaction import Redactor
from shipit.release import plan
from shipit.rollout import rollback_target
from shipit.rollout.assignment import Assignment
from shipit.rollout.host_session import HostSession
from shipit.transport.channel import FrameWire
from unit.release.test_plan import facts, manifest, wanted
from unit.rollout.test_host_session import ScriptedWire, job
from unit.transport.test_channel import Script

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


@pytest.mark.parametrize("kind", messages.MESSAGES.values())
def test_what_is_broken_was_whole_before(kind: type[Any]) -> None:
    line = json.dumps({"kind": kind.__name__, "size": 0, **sample(kind)}).encode() + b"\n"
    message, _ = messages.unpack(line)
    assert messages.pack(message) == messages.pack(messages.unpack(messages.pack(message))[0])


def test_a_host_reads_nothing_but_requests_or_says_that_it_is_none() -> None:
    read = Counter[str]()
    for line in broken(TO_HOST, seed=1):
        try:
            frame = messages.read(io.BytesIO(line))
            read[type(frame.message).__name__ if frame else "end"] += 1
        except messages.ProtocolError:
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
    """Handle a host's message in every way that a run does."""
    progress, reported = Progress(), list[str]()

    def emit(event: Any) -> None:  # noqa: ANN401
        progress.take(event, 0.0)
        reported.append(output_messages.line(event, 8))
        JsonOutput(io.StringIO(), verbosity=1, redactor=Redactor())(event)

    with suppress(*ANSWERED):
        HostSession("web1", ScriptedWire(deque([message])), print, emit).receive(
            messages.End, within=1.0, awaited="the end"
        )
    for handle in USES.get(type(message), ()):
        with suppress(*ANSWERED):
            handle(message)
    json.dumps(asdict(message), allow_nan=False).encode()
    progress.view(10)


def lines(parts: Any) -> list[str]:  # noqa: ANN401
    return list(plain(parts))


def attached(message: messages.Attached) -> None:
    newer = replace(message.holder.attempt, started="2027-01-01T00:00:00Z")
    other = replace(message, holder=replace(message.holder, attempt=newer))
    found = Replies({"web1": facts(), "web2": facts()}, {"web1": message, "web2": other})
    list(found.notes(take_over=True))
    found.states(take_over=True)
    output_messages.lock_owner(message.holder)
    Follower(HostSession("web1", ScriptedWire(deque()), print, print), message)


def looked(said: messages.Facts) -> None:
    found = Replies({"web1": said}, {})
    found.states(take_over=False)
    found.notes(take_over=False)
    made = plan.compare("web1", wanted(manifest()), said)
    lines(reports.plans([("demo", [made])], diff=True))
    plan.refuse_if_it_does_not_fit(made, said)
    with suppress(HostError):
        plan.refuse_if_older(made)
    for to in (None, "1.0.0"):
        rollback_target.choose({"web1": rollback_target.candidates(said)}, to)


def ended(settled: messages.Settled) -> None:
    wire = ScriptedWire(deque([messages.Activating("t1"), settled]))
    Assignment(HostSession("web1", wire, print, lambda _: None), job()).switch()


USES: dict[type[Any], tuple[Callable[[Any], object], ...]] = {
    messages.Facts: (looked,),
    messages.Attached: (attached,),
    messages.Settled: (ended,),
    messages.Status: (lambda it: lines(reports.status([("demo", {"web1": it})])),),
    messages.History: (lambda it: lines(reports.releases([("demo", {"web1": it})])),),
    messages.Findings: (
        lambda it: [
            output_messages.problem(one, whole=True) for one in inspect._problems("web1", it)
        ],
    ),
}


@settings(max_examples=300)
@given(st.data())
def test_a_value_of_any_kind_anywhere_is_refused_or_fits_its_type(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(messages.MESSAGES.values())))
    message = sample(kind)
    if message:
        message[data.draw(st.sampled_from(sorted(message)))] = data.draw(ANYTHING)
    line = json.dumps({"kind": kind.__name__, "size": 0, **message}).encode()
    with suppress(messages.ProtocolError):
        made, _ = messages.unpack(line)
        assert messages.unpack(messages.pack(made))[0] == made


@pytest.mark.parametrize(
    "value",
    ["1e999", "NaN", "-Infinity", "9" * 100_000, "true", '"5"', "-1", "1e200", "[" * 100_000],
    ids=lambda text: text[:9],
)
def test_no_lease_is_without_an_end(value: str) -> None:
    line = '{"kind":"Renew","size":0,"txn":"t1","lease":' + value + "}\n"
    with pytest.raises(messages.ProtocolError):
        messages.unpack(line.encode())


@pytest.mark.parametrize("release", ["../../etc", "..", ".", "", "a/b", "-x", "a\x1b[2J", "a\0b"])
def test_a_release_is_one_name_and_no_path(release: str) -> None:
    line = messages.pack(replace(messages.Healthy("t1", "r1"), release=release))
    with pytest.raises(messages.ProtocolError, match=r"Healthy\.release"):
        messages.unpack(line)


def test_a_line_without_an_end_is_an_error_and_not_half_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = messages.pack(messages.Unstage("t1"))
    with pytest.raises(messages.ProtocolError, match="has no end"):
        messages.read(io.BytesIO(whole[:-1]))
    monkeypatch.setattr(framing, "LINE_LIMIT", 30)
    with pytest.raises(messages.ProtocolError, match="a line that is longer than 30 bytes"):
        messages.read(io.BytesIO(whole))


def test_a_controller_keeps_no_more_of_a_line_than_its_limit() -> None:
    wire = FrameWire("web1", Script(*[b"x" * 2**20] * 20))
    with pytest.raises(HostError, match="a line of more than"):
        wire.receive(1.0)
    assert len(wire._buffer) < 10 * 2**20


def test_a_file_name_that_is_no_text_does_not_break_its_answer() -> None:
    odd = os.fsdecode(b"venv/caf\xe9")
    message, _ = messages.unpack(messages.pack(messages.LogLines(odd)))
    assert message == messages.LogLines("venv/caf?")


def test_a_channel_bears_the_longest_lease() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"x")
    channel = Channel(ours, theirs)
    channel.patience = 366 * 24 * 3600.0
    assert channel.receive(1) == b"x"
