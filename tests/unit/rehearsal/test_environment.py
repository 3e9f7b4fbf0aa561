"""A rehearsal replaces hosts by machines; no setting leads to a real host."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.rehearsal.environment import set_up
from shipit.rehearsal.hosts import Assignment
from shipit.release import inputs
from shipit.release.inputs import ResolvedInput, RunOptions
from shipit.secrets import Secret
from shipit.transport.endpoint import endpoint
from shipit.vault import Passwords, Source, sealed

if TYPE_CHECKING:
    from pathlib import Path

SENTINEL = "s3ntinel"
PASSWORD = Secret("correct horse")
BOOK = """\
app: demo
hosts: all
wheel: app.whl
lock: app.whl
wheelhouse: .
secrets: {PW: "{{ pw }}", TOKEN: "{{ token }}"}
services: {web: {command: serve}}
"""


@dataclass(frozen=True)
class Machines:
    """One machine as its provider describes it."""

    folder: Path

    def inventory(self) -> str:
        reach = {"ansible_host": "192.0.2.1", "ansible_port": 22, "ansible_user": "root"}
        return json.dumps({"all": {"hosts": {"web1": reach}}})


def test_no_setting_leads_to_a_real_host_and_no_secret_is_written(tmp_path: Path) -> None:
    project, folder = tmp_path / "project", tmp_path / "machines"
    for path in (project / "host_vars", project / "inv/group_vars", folder):
        path.mkdir(parents=True)
    (project / "app.whl").touch()
    (project / "book.yaml").write_text(BOOK)
    (project / "host_vars/web1.yml").write_text("{ansible_host: 10.0.0.1, ansible_port: 2200}")
    inline = "".join(f"     {line}\n" for line in sealed(Secret(SENTINEL), PASSWORD).splitlines())
    (project / "inv/hosts.yml").write_text(
        f"all:\n hosts:\n  web1:\n   raw: !unsafe '{{{{ x }}}}'\n   pw: !vault |\n{inline}"
    )
    whole = sealed(Secret(f"token: {SENTINEL}"), PASSWORD)
    (project / "inv/group_vars/all.yml").write_text(whole)
    run = RunOptions(
        project / "book.yaml",
        (project / "inv/hosts.yml",),
        config=AnsibleConfig(variables={"ansible_ssh_args": "-J real.example.com"}),
        passwords=Passwords([Source("", lambda: PASSWORD)]),
    )
    ((target,),) = inputs.targets(run)
    assert endpoint(target.host, render=target.filled).address == "10.0.0.1"

    wanted = [[ResolvedInput(**vars(target), sources=cast("Any", None), secrets={})]]
    environment = set_up(run, wanted, Assignment({"web1": "web1"}), cast("Any", Machines(folder)))
    ((target_on_machine,),) = inputs.targets(environment.run)
    place = endpoint(target_on_machine.host, render=target_on_machine.filled)
    assert (place.address, place.port, place.proxy_jump) == ("192.0.2.1", 22, None)
    assert target_on_machine.deployment.secrets == dict.fromkeys(("PW", "TOKEN"), Secret(SENTINEL))
    assert target_on_machine.filled(target_on_machine.host.vars["raw"]) == "{{ x }}"
    assert SENTINEL not in "".join(path.read_text() for path in folder.iterdir())


def test_its_machines_are_sent_what_hosts_fetch_themselves_and_hold_no_canary(
    tmp_path: Path,
) -> None:
    rest = BOOK[BOOK.index("services") :]
    text = f"app: demo\nhosts: all\nbundle: s3://a/x.shipit\ntransfer: pull\ncanary: 1\n{rest}"
    (tmp_path / "book.yaml").write_text(text)
    (tmp_path / "hosts.yml").write_text("all: {hosts: {web1: {}}}")
    run = RunOptions(tmp_path / "book.yaml", (tmp_path / "hosts.yml",))
    ((target,),) = inputs.targets(run)
    assert target.deployment.transfer == "pull"
    wanted = [[ResolvedInput(**vars(target), sources=cast("Any", None), secrets={})]]
    environment = set_up(run, wanted, Assignment({"web1": "web1"}), cast("Any", Machines(tmp_path)))
    ((assigned,),) = environment.wanted
    assert assigned.deployment.transfer == "push"
    assert assigned.deployment.canary is None


@pytest.mark.parametrize(
    "balancer",
    [
        "{haproxy: {sockets: ['lb1:9999'], backend: web, server: '{{ inventory_hostname }}'}}",
        "{drain: {command: lb out}, undrain: {command: lb back}}",
    ],
)
def test_no_machine_drains_the_host_that_it_stands_for(tmp_path: Path, balancer: str) -> None:
    rest = BOOK[BOOK.index("services") :]
    text = f"app: demo\nhosts: all\nbundle: s3://a/x.shipit\nload_balancer: {balancer}\n{rest}"
    (tmp_path / "book.yaml").write_text(text)
    (tmp_path / "hosts.yml").write_text("all: {hosts: {web1: {}}}")
    run = RunOptions(tmp_path / "book.yaml", (tmp_path / "hosts.yml",))
    ((target,),) = inputs.targets(run)
    assert target.deployment.load_balancer is not None
    wanted = [[ResolvedInput(**vars(target), sources=cast("Any", None), secrets={})]]
    environment = set_up(run, wanted, Assignment({"web1": "web1"}), cast("Any", Machines(tmp_path)))
    ((assigned,),) = environment.wanted
    assert assigned.deployment.load_balancer is None
