"""What a person wrote is checked whole before any host is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from shipit.errors import InputError
from shipit.wishes import Run, targets

if TYPE_CHECKING:
    from pathlib import Path

INVENTORY = {
    "all": {
        "children": {
            "web": {"hosts": {"web1": None, "web2": None}},
            "batch": {"hosts": {"web2": {"place": "/opt/one/b"}, "batch1": None}},
        }
    }
}


def run(folder: Path, *deployments: dict[str, object]) -> Run:
    (folder / "inventory.yaml").write_text(yaml.safe_dump(INVENTORY))
    usual = {"wheel": "a-1-py3-none-any.whl", "lock": "lock.txt", "wheelhouse": "wheels"}
    services = {"web": {"command": "x"}}
    made = [{**usual, "services": services, **each} for each in deployments]
    (folder / "playbook.yaml").write_text(yaml.safe_dump(made, sort_keys=False))
    return Run(folder / "playbook.yaml", (folder / "inventory.yaml",))


@pytest.mark.parametrize(
    "other",
    [
        {"app": "two", "root": "/opt/one"},
        {"app": "two", "root": "/opt/one/inside"},
        {"app": "two", "root": "{{ place }}", "hosts": "web2"},
        {"app": "one"},
    ],
)
def test_two_deployments_in_one_root_of_a_host_are_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    wanted = run(tmp_path, {"app": "one", "hosts": "web"}, {"hosts": "batch", **other})
    with pytest.raises(InputError) as caught:
        targets(wanted)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hosts) == ("roots-meet", ("web2",))
    assert "/opt/one of one" in mistake.what
    assert mistake.place is not None
    assert mistake.place.line > 10  # of the second deployment


@pytest.mark.parametrize(
    "other",
    [
        {"app": "two", "hosts": "web"},
        {"app": "two", "hosts": "web", "root": "/opt/one-more"},
        {"app": "two", "hosts": "batch1", "root": "/opt/one"},
    ],
)
def test_roots_apart_or_on_hosts_apart_are_accepted(
    tmp_path: Path, other: dict[str, object]
) -> None:
    first, second = targets(run(tmp_path, {"app": "one", "hosts": "web"}, other))
    assert {target.deployment.app for target in (*first, *second)} == {"one", "two"}


@pytest.mark.parametrize(
    ("one", "other", "unit"),
    [
        (("shop-web", "api"), ("shop", "web-api"), "shop-web-api.service"),
        (("shop", "web"), ("shop", "web"), "shop-web.service"),
    ],
)
def test_two_deployments_with_one_unit_on_a_host_are_refused(
    tmp_path: Path, one: tuple[str, str], other: tuple[str, str], unit: str
) -> None:
    made: list[dict[str, object]] = [
        {"app": app, "hosts": hosts, "root": root, "services": {service: {"command": "x"}}}
        for (app, service), hosts, root in ((one, "web", "/opt/1"), (other, "batch", "/opt/2"))
    ]
    with pytest.raises(InputError) as caught:
        targets(run(tmp_path, *made))
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hosts) == ("units-meet", ("web2",))
    assert unit in mistake.what
