"""Four hosts, one of which lies, hangs or talks nonsense: the other three do not mind."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from fake_fleet import MORE, NEW, OLD, Fleet, Liar, NoNetwork
from hostile_frames import TOKENS, Mutator
from shipit.agent.protocol import answers, messages
from shipit.commands import deploy, inspect
from shipit.errors import InputError, Mistake
from shipit.events import Event, Outcome, RunEnded
from shipit.output.console import ConsoleOutput
from shipit.output.json_lines import JsonOutput
from shipit.output.redaction import Redactor
from shipit.release import build, plan
from shipit.release.build import BuiltRelease
from shipit.release.inputs import ResolvedInput, RunOptions, targets
from shipit.rollout import executor, logins, prepare, rollback_target
from shipit.rollout import host_session as sessions
from shipit.rollout.strategy import Policy
from shipit.transport import connect

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.rollout.connections import Connections
from shipit.rollout.connections import connect_all
from shipit.rollout.phase import Phase, Transition

HOSTS = ("web1", "web2", "web3", "web4")
PLAYBOOK = """\
hosts: all
app: demo
wheel: dist/demo-1.1.0-py3-none-any.whl
lock: requirements.lock
wheelhouse: wheels/
user: demo
services:
  web: {command: demo}
health: [{http: "http://127.0.0.1:8000/"}]
"""
QUARTER = Policy(max_fail_percentage=25.0)
WORDS = (messages.Facts, messages.Activating, messages.Healthy, messages.Settled)
ESCAPES = "\x1b[2J\x1b]52;c;AAAA\x07\u202eweb1\nweb2  committed\x9b"

Says = Callable[[Any], Iterable[object]]


def broken(line: bytes) -> Says:
    return lambda _: [line]


NONSENSE: dict[str, Says] = {  # of any host at any time
    "junk": broken(b"\x00\xff\xfe junk\n"),
    "no-object": broken(b"[1, 2]\n"),
    "deep": broken(b"[" * 200_000 + b"\n"),
    "unknown-kind": broken(b'{"kind":"Surprise","size":0}\n'),
    "no-fields": lambda honest: [f'{{"kind":"{type(honest).__name__}","size":0}}\n'.encode()],
    "endless-line": lambda _: [b"x" * 2**20, MORE],
    "huge-body": broken(b'{"kind":"End","size":99999999999}\n'),
    "the-end": broken(b""),
    "half-a-frame": lambda honest: [messages.pack(honest)[:20], b""],
    "hangs": lambda _: [None],
    "talks": lambda _: [messages.StepBegan("x", ESCAPES), MORE],
    "only-alive": lambda _: [messages.Alive(), MORE],
    "a-request": lambda _: [messages.AskReleases(), None],
    "refuses": lambda _: [messages.Failure("no-" * 20 + "x", ESCAPES, ESCAPES, ESCAPES, ESCAPES)],
    "twice": lambda honest: [honest, honest],
}


def field_of(kind: type[Any], name: str, value: object) -> tuple[type[Any], Says]:
    return kind, lambda honest: [replace(honest, **{name: value})]


def raw_field(kind: type[Any], name: str, token: str) -> tuple[type[Any], Says]:
    """Send something that no dataclass can hold, instead of one field."""

    def says(honest: object) -> list[object]:
        data = json.loads(messages.pack(honest))
        data[name] = "@here@"
        return [json.dumps(data).replace('"@here@"', token).encode() + b"\n"]

    return kind, says


LIES: dict[str, tuple[type[Any], Says]] = {
    "unknown-outcome": field_of(messages.Settled, "outcome", "victorious"),
    "stuck": field_of(messages.Settled, "outcome", "stuck"),
    "discarded": field_of(messages.Settled, "outcome", "discarded"),
    "rolled back": field_of(messages.Settled, "outcome", "rolled_back"),
    "commits-another": field_of(messages.Settled, "running", "9.9.9-zzzzzzzz"),
    "runs-a-path": field_of(messages.Settled, "running", "../../etc"),
    "other-txn": field_of(messages.Healthy, "txn", "another"),
    "other-release": field_of(messages.Healthy, "release", NEW.id),
    "other-app": field_of(messages.Facts, "current", replace(NEW, app="other")),
    "path-release": field_of(messages.Facts, "behind", ("../../x",)),
    "escapes": field_of(messages.Facts, "hostname", ESCAPES),
    "odd-version": field_of(messages.Facts, "current", replace(NEW, version=ESCAPES)),
    "negative-room": field_of(messages.Facts, "free_bytes", -1),
    **{
        f"{kind.__name__}-{name}-{token[:8]}": raw_field(kind, name, token)
        for kind, name in (
            (messages.Facts, "releases"),
            (messages.Facts, "units"),
            (messages.Facts, "systemd"),
            (messages.Settled, "running"),
            (messages.Settled, "failure"),
            (messages.Healthy, "release"),
        )
        for token in (TOKENS[0], TOKENS[2], "9" * 5000, "null", "true", '"x"', "[[]]", "{}")
    },
    **{
        f"{kind.__name__}-{name}": (kind, says) for kind in WORDS for name, says in NONSENSE.items()
    },
}


@pytest.fixture
def run(tmp_path: Path) -> RunOptions:
    (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
    hosts = "".join(f"    {name}: {{ansible_host: 192.0.2.1}}\n" for name in HOSTS)
    (tmp_path / "hosts.yaml").write_text(f"all:\n  hosts:\n{hosts}")
    return RunOptions(tmp_path / "playbook.yaml", (tmp_path / "hosts.yaml",))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "SILENCE", 0.05)
    monkeypatch.setattr(sessions, "MOST_MESSAGES", 300)
    monkeypatch.setattr(logins, "Network", NoNetwork)


Act = Callable[[RunOptions, Callable[[Event], None]], int]


def rolled_back(run: RunOptions, emit: Callable[[Event], None]) -> int:
    return deploy.rollback(run, emit)


def shipped(run: RunOptions, emit: Callable[[Event], None]) -> int:
    """Deploy a release that is known already: what a wheel is has no part in this."""
    [found] = targets(run)
    rollout = deploy.Run("deploy", found, run, emit)

    def fleet(hosts: Connections) -> executor.Fleet:
        prepare.ask(found, hosts, recover=True)
        built = BuiltRelease(OLD, {})
        jobs = {name: rollout.job(OLD.id, built) for name in hosts.sessions}
        return rollout.fleet(hosts, jobs, dict.fromkeys(jobs, Transition(Phase.READY)))

    return rollout.execute(fleet, deploy.AT_ONCE)


class Outputs:
    """Both outputs, and the end of the run."""

    def __init__(self) -> None:
        self.out, self.err, self.json = io.StringIO(), io.StringIO(), io.StringIO()
        self.console_output = ConsoleOutput(self.out, self.err, verbosity=1, redactor=Redactor())
        self.json_output = JsonOutput(self.json, verbosity=1, redactor=Redactor())
        self.ended: list[RunEnded] = []

    def __call__(self, event: Event) -> None:
        self.console_output(event)
        self.json_output(event)
        if isinstance(event, RunEnded):
            self.ended.append(event)

    def outcomes(self) -> dict[str, Outcome]:
        [ended] = self.ended
        return {name: result.outcome for name, result in ended.hosts.items()}


def play(
    act: Act, run: RunOptions, liars: dict[str, Liar], monkeypatch: pytest.MonkeyPatch
) -> Outputs:
    monkeypatch.setattr(connect, "connect", Fleet(liars).connect)
    outputs = Outputs()
    act(run, outputs)
    return outputs


@pytest.mark.parametrize("act", [rolled_back, shipped])
@pytest.mark.parametrize("lie", LIES)
def test_one_lying_host_among_four_changes_nothing_for_the_others(
    act: Act, lie: str, run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "AT_ONCE", QUARTER)
    outputs = play(act, run, {"web3": Liar(*LIES[lie])}, monkeypatch)
    outcomes = outputs.outcomes()
    lied = outcomes.pop("web3")
    assert outcomes == dict.fromkeys(("web1", "web2", "web4"), Outcome.COMMITTED)
    assert lied in Outcome
    assert "bug" not in outputs.out.getvalue()
    assert set("\x1b\x07\x9b\u202e").isdisjoint(outputs.out.getvalue())
    table = [
        row.split("  ")[:2] for row in outputs.out.getvalue().splitlines() if row.startswith("web")
    ]
    assert {tuple(map(str.strip, row)) for row in table} >= {
        ("web1", "committed"),
        ("web3", str(lied)),
    }


@pytest.mark.parametrize("act", [rolled_back, shipped])
@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.startswith(("Healthy", "Facts"))])
def test_where_no_host_may_fail_the_others_are_left_or_rolled_back(
    act: Act, lie: str, run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = play(act, run, {"web3": Liar(*LIES[lie])}, monkeypatch)
    outcomes = outputs.outcomes()
    if outcomes.pop("web3") is Outcome.COMMITTED:  # what it said twice, or besides, was no lie
        assert set(outcomes.values()) == {Outcome.COMMITTED}
    else:
        assert len(set(outcomes.values())) == 1
        assert set(outcomes.values()) <= {Outcome.ROLLED_BACK, Outcome.DISCARDED}
    assert "bug" not in outputs.out.getvalue()


@pytest.mark.parametrize("kind", WORDS)
def test_nor_does_one_that_breaks_its_answers_at_random(
    kind: type[Any], run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "AT_ONCE", QUARTER)
    mutator = Mutator(seed=3)
    for _ in range(25):
        liar = Liar(kind, lambda honest: [mutator.frame(type(honest)), b""])
        outcomes = play(rolled_back, run, {"web2": liar}, monkeypatch).outcomes()
        del outcomes["web2"]
        assert set(outcomes.values()) == {Outcome.COMMITTED}


@pytest.mark.parametrize("says", NONSENSE.values(), ids=NONSENSE)
def test_a_question_is_answered_by_all_the_others(
    says: Says, run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind, ask in ((messages.Status, inspect.status), (messages.History, inspect.releases)):
        monkeypatch.setattr(connect, "connect", Fleet({"web1": Liar(kind, says)}).connect)
        [(_, answers)] = ask(run, lambda _: None)
        assert [isinstance(answers[name], kind) for name in HOSTS[1:]] == [True] * 3


def test_a_bug_over_one_hosts_answer_is_that_hosts_failure(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "AT_ONCE", QUARTER)
    chosen = rollback_target.Choice.of

    def fails_on_one(choice: rollback_target.Choice, host: str) -> answers.ReleaseLine:
        if host == "web4":
            raise KeyError("surprise")
        return chosen(choice, host)

    monkeypatch.setattr(rollback_target.Choice, "of", fails_on_one)
    outputs = play(rolled_back, run, {}, monkeypatch)
    assert outputs.outcomes() == {
        **dict.fromkeys(HOSTS[:3], Outcome.COMMITTED),
        "web4": Outcome.DISCARDED,
    }
    assert "controller-bug" in outputs.out.getvalue()


def offered(
    run: RunOptions, unfit: set[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[set[str], dict[str, str]]:
    """Return which hosts get a release and which are lost, if no wheel fits some."""
    monkeypatch.setattr(connect, "connect", Fleet({}).connect)

    nothing: Any = SimpleNamespace(digests=lambda: (), interpreters=None)

    def make(resolved: ResolvedInput, *_: object) -> build.BuiltRelease:
        if resolved.name in unfit:
            raise InputError(Mistake("wheel-missing", "no wheel of click fits Python 3.99"))
        return build.BuiltRelease(nothing, {})

    plans = {"compare", "refuse_if_it_does_not_fit", "refuse_if_older"}
    for name in plans:
        monkeypatch.setattr(plan, name, lambda *_: None)
    monkeypatch.setattr(build, "build", make)
    [found] = targets(run)
    wanted = [ResolvedInput(**vars(target), sources=nothing, secrets={}) for target in found]
    with connect_all(found, run, lambda _: None) as hosts:
        made = prepare.prepare(wanted, hosts, prepare.attempt_to("deploy", run))
        lost = {name: moved.problem.code for name, moved in hosts.lost.items() if moved.problem}
    return set(made), lost


def test_a_host_that_no_wheel_fits_is_its_own_failure(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, lost = offered(run, {"web2"}, monkeypatch)
    assert made == {"web1", "web3", "web4"}
    assert lost == {"web2": "wheel-missing"}


def test_wheels_that_fit_no_host_are_a_mistake(
    run: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no wheel of click"):
        offered(run, set(HOSTS), monkeypatch)
