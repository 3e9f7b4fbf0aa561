from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shipit.errors import Place
from shipit.output.quoting import INVENTORY, OPEN, PLAYBOOK, quotable
from shipit.playbook.balancer.models import BalancerCommand, Haproxy, LoadBalancer
from shipit.playbook.canary.models import Canary, CanaryCheck
from shipit.playbook.health import Check, Health, Watch
from shipit.playbook.hooks.models import Hook, Migrate
from shipit.playbook.models import Deployment, Freeze, RenderedFile
from shipit.playbook.project import Assets, PinnedFile, Project, Python, PythonArchive
from shipit.playbook.service import EnvFile, Service

SECRET = "hunter2"


def quoted(text: str, line: int = 0, *, file: str = "prod.yaml", code: str = "yaml-syntax") -> str:
    """Quote a line; the last one by default."""
    return quotable(text, Place(file, line or text.rstrip("\n").count("\n") + 1), code)


def of_playbook(text: str) -> str:
    return quoted(text, code="playbook-value")


@pytest.mark.parametrize(
    "line",
    [
        "keep_releases: 0",
        "health: {interval: 0, deadline: true, min_healthy: 100h}",
        "files: [{src: app.ini.j2, dest: ../a}]",
        '  web: {command: "serve --workers 2"}',
        "services: [web]",
        "sevices:",
        "registry: {}",
        'greeting: "{{ greting }}"',
        "ansible_port: abc",
    ],
)
def test_a_playbooks_own_keys_are_quoted_with_their_values(line: str) -> None:
    assert of_playbook(f"services:\n{line}") == line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("keep_relases: hunter2", "keep_relases:"),
        ("proxy: {ssl: hunter2, app: x}", "proxy: {ssl:"),
        ("env: {MODE: hunter2}", "env: {MODE:"),
        ("env: {app: hunter2}", "env: {app:"),
        ("app: demoapp  # once hunter2", "app: demoapp"),
        ("command: PORT=hunter2 serve", "command: PORT="),
        ('{"app": "demoapp", "pin":"hunter2"}', '{"app": "demoapp", "pin":'),
        ('{"app": "demoapp", "pin":1234}', '{"app": "demoapp", "pin":'),
        ('base_of: "host=hunter2 user=joe"', "base_of:"),
        ("notes: |", "notes: |"),
        ("base:\n  user: hunter2", "  user:"),
        ("base: {user: hunter2}", "base: {user:"),
        ("  vars:\n    user: hunter2", "    user:"),
        ('env: {base: ["hunter2: x"]}', "env: {base:"),
    ],
)
def test_a_value_that_may_be_secret_is_left_out(line: str, shown: str) -> None:
    assert of_playbook(f"services:\n{line}") == shown


@pytest.mark.parametrize(
    "text",
    [
        "secrets:\n",
        "secrets: {A: env:A}",
        "secrets:\n  app: hunter2",
        "secrets:\n- hunter2",
        "secrets:\n  # why\n\n  A: |\n    app: hunter2",
        "secrets:\n  {A: x,\nB: hunter2,\napp: hunter2}",
        "services: {\nweb: {secrets: {\napp: hunter2}}}",
        "ansible_password: hunter2",
        "DB_PASSWD: hunter2",
        "api-token: hunter2",
        "app: 'postgres://joe:hunter2@db/x'",
        "http: https://h/?sig=hunter2",
        "env:\n  - hunter2",
        "env:\n  - 'hunter2: x'",
        "vars: {app: >\n  hunter2",
        "vars: {\napp: hunter2}",
        "env:\n  {\napp: hunter2}",
        "env: {A: 'x\napp: hunter2', B: y}",
        "notes: |\n  app: hunter2",
        "notes: x\n  app: hunter2",
        "notes:\n- |\n  app: hunter2",
        "? notes\n: hunter2",
        "tokens: &all\n  app: hunter2",
        "hunter2",
        "- hunter2",
        "x: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6130",
        "# app: hunter2",
    ],
)
def test_where_a_secret_may_stand_nothing_is_quoted(text: str) -> None:
    assert of_playbook(text) == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("web1 ansible_host=192.0.2.1 ansible_port=abc", ""),
        ("web1 ansible_host=192.0.2.1 stripe=hunter2 ansible_port=1", "stripe="),
        ("web1 ansible_host=192.0.2.1 ansible_password=hunter2", None),
        ("[web:vrs]", ""),
        ("web1: {ansible_port: abc}", ""),
        ("web1: {ansible_port: abc, user: hunter2}", "user:"),
        ("user: hunter2", "user:"),
        ("command = hunter2", "command ="),
    ],
)
def test_of_an_inventory_the_ways_to_a_host_are_quoted(line: str, shown: str | None) -> None:
    """`shown` is where it ends: "" at the end of the line, None before its beginning."""
    expected = "" if shown is None else line[: line.index(shown) + len(shown)] if shown else line
    assert quoted(line, file="hosts.ini", code="host-variable") == expected


def test_keys_of_a_playbook_mean_nothing_in_a_file_of_variables() -> None:
    text = "services: 1\nuser: joe"
    assert quoted(text) == "user: joe"
    assert quoted(text, file="group_vars/all.yaml") == "user:"
    assert quoted("user: joe") == "user:"
    assert quoted("user: [\n[hunter2]\n]", 2) == ""


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [("level = {{ levle }}", True), ("{% if x %}", True), ("pin = hunter2{{ x }}", False)],
)
def test_of_a_template_lines_without_values_are_quoted(line: str, *, is_shown: bool) -> None:
    assert (quoted(line, file="a.ini.j2", code="template-undefined") == line) == is_shown


@pytest.mark.parametrize("code", ["not-pinned", "lock-syntax", "no-hash"])
def test_of_a_lock_any_line_is_quoted_that_has_no_credentials(code: str) -> None:
    assert quoted("six>=1.16", code=code) == "six>=1.16"
    assert quoted("-i https://joe:hunter2@pypi.example/simple", code=code) == ""
    assert quoted("six>=1.16", code=code, file="lock/.env.prod") == ""


@pytest.mark.parametrize("file", [".env", "prod.env", "/srv/.env.local"])
def test_of_a_file_of_environment_variables_nothing_is_quoted(file: str) -> None:
    assert quoted("services: x\nkeep_releases: 0") != ""
    assert quoted("services: x\nkeep_releases: 0", file=file) == ""


@pytest.mark.parametrize("code", ["env-file", "secret-reference", "vault-damaged", "extra-vars"])
def test_some_mistakes_are_about_secrets_alone(code: str) -> None:
    assert quoted("services: x\nkeep_releases: 0", code=code) == ""


def test_of_an_encrypted_file_nothing_is_quoted() -> None:
    """Its places are those of what was encrypted: other lines than the file has."""
    assert quoted("$ANSIBLE_VAULT;1.1;AES256\nservices:\n6130:", 2) == ""


def test_for_each_key_of_a_playbook_it_is_decided_whether_its_value_is_public() -> None:
    of_release = (Project, PinnedFile, Python, PythonArchive, Assets)
    hooks = (Hook, Migrate, LoadBalancer, Haproxy, BalancerCommand, Canary, CanaryCheck)
    models = (
        Deployment,
        Service,
        RenderedFile,
        EnvFile,
        Health,
        Check,
        Freeze,
        Watch,
        *hooks,
        *of_release,
    )
    fields = (each for model in models for each in model.model_fields.items())
    keys = {field.alias or name for name, field in fields}
    assert keys == PLAYBOOK | OPEN
    assert not PLAYBOOK & OPEN
    assert not [name for name in INVENTORY if "pass" in name or "args" in name or "key" in name]


VALUES = st.sampled_from(
    [SECRET, f"{SECRET} " * 9, f"{SECRET}: {SECRET}", f"{SECRET}\n\n app: {SECRET}", f"'{SECRET}\""]
)
NAMES = st.sampled_from(["app", "user", "command", "stripe", "A B", "{x}", "it's", "# y", "pass"])
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


STYLES = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([True, False, None]),
        "default_style": st.sampled_from([None, '"', "'", "|", ">"]),
        "width": st.sampled_from([10, 40, 1000]),
        "indent": st.sampled_from([2, 4]),
    }
)


@given(
    tree=st.dictionaries(NAMES, TREES, min_size=1, max_size=3),
    key=st.sampled_from(["env", "vars", "secrets", "json", "stripe", "it's", "password"]),
    style=STYLES,
)
def test_however_it_is_written_no_value_of_the_users_own_is_quoted(
    tree: object, key: str, style: dict[str, Any]
) -> None:
    playbook = [{"app": "demoapp", "services": {"web": {"command": "serve", key: tree}}, "b": 1}]
    texts = [
        yaml.safe_dump(playbook, **style),
        json.dumps(playbook, indent=style["indent"]),
        json.dumps(playbook, separators=(",", ":")),
    ]
    for text in texts:
        for number in range(1, text.count("\n") + 2):
            assert SECRET not in quoted(text, number, code="playbook-value"), text
