"""A variable counts as unused only where nothing can use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.lint import unused
from shipit.release.inputs import RunOptions, targets

if TYPE_CHECKING:
    from pathlib import Path

BASE = """\
hosts: web
app: a
wheel: a.whl
lock: uv.lock
wheelhouse: w
services: {job: {command: job}}
"""


def found(folder: Path, playbook: str, inventory: str = "web: {hosts: {web1: , web2: }}") -> str:
    (folder / "playbook.yaml").write_text(playbook)
    (folder / "hosts.yaml").write_text(inventory)
    made = targets(RunOptions(folder / "playbook.yaml", (folder / "hosts.yaml",)))
    return "\n".join(str(mistake) for mistake in unused.variables(made))


def test_an_unused_variable_is_reported_with_the_nearest_known_one(tmp_path: Path) -> None:
    hosts = "web: {hosts: {web1: , web2: }, vars: {port: 8000}}"
    text = found(tmp_path, BASE + "vars:\n  prot: 8001\nenv: {PORT: '{{ port }}'}\n", hosts)
    head, hint = text.split("\n")
    assert head.endswith(":8:3: no template uses the variable 'prot' [unused-variable]")
    assert "'port'" in hint


@pytest.mark.parametrize(
    "use",
    [
        "env: {A: '{{ it }}'}\n",
        "env: {A: '{% if false %}{{ it }}{% endif %}'}\n",
        "secrets: {A: 'env:{{ it }}'}\n",
    ],
)
def test_a_variable_that_the_playbook_uses_is_used(tmp_path: Path, use: str) -> None:
    assert found(tmp_path, f"{BASE}vars: {{it: x}}\n{use}") == ""


def test_a_variable_that_another_one_or_the_inventory_uses_is_used(tmp_path: Path) -> None:
    hosts = "web: {hosts: {web1: , web2: {deep: [{x: '{{ it }}'}]}}}"
    text = BASE + "vars: {it: x, other: '{{ more }}', more: 1}\n"
    reported = found(tmp_path, text, hosts)
    assert reported.count("[unused-variable]") == 1
    assert "'other'" in reported


def test_a_variable_that_an_included_template_uses_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{% include 'part.j2' %}")
    (tmp_path / "part.j2").write_text("{% import 'macros.j2' as m %}{% include 'a.j2' %}")
    (tmp_path / "macros.j2").write_text("{{ it }}")
    files = "files: [{src: a.j2, dest: a}]\n"
    assert found(tmp_path, BASE + files + "vars: {it: x}\n") == ""
    (tmp_path / "macros.j2").write_text("{{ item }}")
    assert "'it'" in found(tmp_path, BASE + files + "vars: {it: x}\n")


def test_a_variable_that_a_unit_of_one_host_uses_is_used(tmp_path: Path) -> None:
    (tmp_path / "web1.j2").write_text("x")
    (tmp_path / "web2.j2").write_text("{{ it }}")
    units = 'vars: {it: x}\nservices: {job: {unit: "{{ inventory_hostname }}.j2"}}\n'
    services = "services: {job: {command: job}}\n"
    assert found(tmp_path, BASE.replace(services, "") + units) == ""


def test_variables_that_two_deployments_share_need_one_use(tmp_path: Path) -> None:
    def deployment(text: str) -> str:
        return "- " + text.replace("\n", "\n  ").rstrip() + "\n"

    first = deployment(BASE + "vars: &shared {one: 1, two: 2}\nenv: {A: '{{ one }}'}\n")
    second = deployment(BASE.replace("app: a", "app: b") + "vars: *shared\n")
    reported = found(tmp_path, first + second)
    assert reported.count("[unused-variable]") == 1
    assert "'two'" in reported
