"""Which hosts are canaries, and what a plan says of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shipit.playbook.canary.models import Canary
from shipit.release.plan import Action, HostPlan
from shipit.rollout import hooks
from shipit.rollout.canary import choice

WAITS = "up to 3600 s more until it is decided, then stop"
GROUPS = {"web1": (), "web2": ("eu",), "web3": ("eu", "slow"), "web4": ()}


def order(**canary: object) -> Any:  # noqa: ANN401 - stands in for hosts of an inventory
    made = Canary.model_validate(canary) if canary else None
    deployment = SimpleNamespace(canary=made, hooks=(), migrate=object())
    return [
        SimpleNamespace(name=name, deployment=deployment, host=SimpleNamespace(groups=groups))
        for name, groups in GROUPS.items()
    ]


def made(*idle: str, lost: str = "") -> Any:  # noqa: ANN401 - as above
    return {
        name: (None, HostPlan(name, Action.NOTHING if name in idle else Action.DEPLOY, "r2", "2"))
        for name in GROUPS
        if name != lost
    }


@pytest.mark.parametrize(
    ("hosts", "idle", "chosen"),
    [
        (1, (), ["web1"]),
        (2, ("web1",), ["web2", "web3"]),
        (9, (), [*GROUPS]),
        ("50%", (), ["web1", "web2"]),
        ("1%", (), ["web1"]),
        (["web3", "web1"], (), ["web1", "web3"]),
        (["eu"], (), ["web2", "web3"]),
        ("slow", (), ["web3"]),
        (["web3"], ("web3",), []),
        (1, tuple(GROUPS), []),
    ],
)
def test_canaries_are_among_the_hosts_that_change(
    hosts: object, idle: tuple[str, ...], chosen: list[str]
) -> None:
    assert list(choice.canaries(made(*idle), order(hosts=hosts))) == chosen


def test_a_host_that_was_lost_is_no_canary() -> None:
    assert choice.canaries(made(lost="web1"), order(hosts=1)) == ("web2",)
    assert choice.canaries(made(), order()) == ()


def test_what_runs_once_runs_on_a_canary() -> None:
    assert hooks.elected(made(), order(hosts=["web3"])) == "web3"
    assert hooks.elected(made("web3"), order(hosts=["web3"])) == "web1"


def test_a_plan_says_who_is_held_for_how_long_and_what_is_asked() -> None:
    checks = [
        {"command": "./errors.sh", "interval": "30s"},
        {"prometheus": "http://prom:9090", "query": "sum(up{a=~'$hosts'})", "at_most_times": 1.5},
    ]
    wanted = order(hosts=1, checks=checks, prompt=True)
    found = choice.planned(made("web4"), wanted)
    assert found["web1"][1].canary == (
        "web1, before 2 others",
        f"held for 600 s, then an operator decides; {WAITS}",
        "check every 30 s: ./errors.sh",
        "check every 30 s: sum(up{a=~'$hosts'}) (at_most_times 1.5) at http://prom:9090",
    )
    assert found["web4"][1].canary == ()
    alone = choice.planned(made("web2", "web3", "web4"), wanted)
    assert alone["web1"][1].canary[0] == "web1, and no other host"


def test_a_plan_says_that_no_canary_is_held() -> None:
    found = choice.planned(made("web3"), order(hosts=["web3"]))
    assert found["web1"][1].canary == (choice.NONE,)
    assert choice.planned(made(), order())["web1"][1].canary == ()
