"""What is said of words and files of other tools."""

from __future__ import annotations

import re

import pytest

from shipit.playbook import foreign
from shipit.playbook.health import Check, Health
from shipit.playbook.models import Deployment, RenderedFile
from shipit.playbook.service import EnvFile, Service

OURS = {
    field.alias or name
    for model in (Deployment, Service, Health, Check, RenderedFile, EnvFile)
    for name, field in model.model_fields.items()
}


@pytest.mark.parametrize("key", foreign.KEYS)
def test_every_key_that_is_advised_exists(key: str) -> None:
    named = set(re.findall(r"`(\w+):", foreign.KEYS[key]))
    assert {name for name in named if not name.startswith("ansible_")} <= OURS


def test_other_spellings_of_a_foreign_key_are_known() -> None:
    spellings = ("StopGracePeriod", "stop_grace_period", "stop-grace-period")
    assert {foreign.advice(key) for key in spellings} == {"write `stop_timeout:` of a service"}


@pytest.mark.parametrize("key", ["wheeel", "servicess", 5, True, ""])
def test_of_any_other_key_nothing_is_said(key: object) -> None:
    assert foreign.advice(key) == ""


@pytest.mark.parametrize(
    "value",
    [
        {"app": "x", "services": {"web": {"image": "y"}}},  # ours, with a word of Compose
        [{"app": "x", "hosts": "web", "tasks": []}],
        {"services": {"web": {"command": "x"}}},
        {"app": "x"},
        [],
        None,
        "text",
        5,
        {"services": [1]},
        {5: {}},
    ],
)
def test_what_may_be_ours_is_read_as_ours(value: object) -> None:
    assert foreign.value_is(value) is None
