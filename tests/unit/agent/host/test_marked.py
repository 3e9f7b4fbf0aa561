"""The output of a command, and the mark at its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from shipit.agent.host import host, marked
from shipit.agent.host.transient import Command
from shipit.agent.system import process
from shipit.agent.system.process import Done

if TYPE_CHECKING:
    from shipit.agent.protocol.hooks import HookOutput


def passed_on(*chunks: bytes) -> list[str]:
    heard: list[HookOutput] = []
    output = marked.Output(heard.append, "warm", "the-end")
    for chunk in chunks:
        output(chunk)
    output.end()
    return [message.text for message in heard]


def test_output_is_passed_on_in_whole_lines() -> None:
    assert passed_on(b"one\ntw", b"o\nthree") == ["one", "two", "three"]
    assert passed_on() == []


def test_the_mark_of_its_end_is_not_shown() -> None:
    assert passed_on(b"one\ntwothe-end 0\n") == ["one\ntwo"]
    assert passed_on(b"the-end 0\n") == []
    assert passed_on(b"x" * 4095 + b"the-", b"end 0\n") == ["x" * 4095]


def test_a_line_is_not_cut_in_a_secret() -> None:
    secret = b"kV3" * 3_500
    chunks = [secret[start : start + 1000] for start in range(0, len(secret), 1000)]
    assert passed_on(*chunks, b"\n") == [secret.decode()]


def test_of_very_much_output_the_beginning_is_passed_on_in_whole_lines() -> None:
    shown = passed_on(*[b"y" * 32_767 + b"\n", b"z" * 65_536] * 2)
    assert shown[:-1] == ["y" * 32_767]
    assert shown[-1] == f"[... {32_768 * 5} more bytes are not shown]"


@pytest.mark.parametrize(
    ("done", "end"),
    [
        (Done(0, "out\nthe-end 255\n"), "ended with exit status 255"),
        (Done(1, "out\nthe-end 0\n"), "ended with exit status 0"),
        (Done(0, "out\n"), "was not seen to end"),
        (Done(0, "out\nthe-end \n"), "was not seen to end"),
        (Done(-9, "out\n", timed_out=True), "did not end within 5 s"),
    ],
)
def test_the_end_of_a_hook_is_that_of_its_own_mark(done: Done, end: str) -> None:
    found = marked.ended(done, "the-end")
    assert end in found.end(5.0)
    assert found.output == "out\n"
    assert found.ok == (end == "ended with exit status 0")


def test_a_command_whose_end_was_not_seen_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(output: str) -> tuple[Done, list[str]]:
        stopped: list[str] = []
        running = SimpleNamespace(finish=lambda *_: Done(0, output), close=lambda: None)
        monkeypatch.setattr(process, "Running", lambda _: running)
        monkeypatch.setattr(host, "_started", lambda argv, _: stopped.extend(argv))
        command = Command(("/bin/true",), "root", "/", unit="u.service", end_mark="the-end")
        return host.RealHost().run_as(command, timeout=1.0), stopped

    lost = Done(0, "out\n", lost=True)
    assert seen("out\n") == (lost, ["systemctl", "stop", "--", "u.service"])
    assert seen("out\nthe-end 3\n") == (Done(3, "out\n"), [])
