"""Lint finds what a deploy finds before it connects; and needs no host, no secret, no network."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import wheelhouse
from shipit.cli import main
from shipit.secrets import Secret
from shipit.transport import connect
from shipit.vault import sealed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOOK = """\
hosts: web
app: tinyapp
wheel: "*.whl"
lock: lock.txt
wheelhouse: wheels
secrets: {PASSWORD: env:NOT_SET, TOKEN: "command:touch ran"}
services: {web: {command: tinyapp, socket: 8000}}
health: [{http: "http://127.0.0.1:8000/healthz"}]
"""
LOCKED = sealed(Secret("in_vault: 1"), Secret("right"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that a deploy needs; nothing may be run or connected to."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a host was connected to, or a program started")

    monkeypatch.setattr(connect, "connect", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wheels").mkdir()
    wheelhouse.tinyapp_wheel(tmp_path, "1")
    wheelhouse.write_lock(tmp_path / "lock.txt", [])
    (tmp_path / "inventory.yaml").write_text("web: {hosts: {web1: , web2: }}")
    (tmp_path / "a.yaml").write_text(BOOK)
    return tmp_path


class Lint:
    """The command line in this process."""

    def __init__(self, printed: pytest.CaptureFixture[str]) -> None:
        self._printed = printed

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._printed.readouterr()
        status = main.main(["lint", *words])
        return status, *self._printed.readouterr()

    def codes(self, *words: str) -> list[tuple[str, str]]:
        """Return the level and the code of all findings."""
        result = json.loads(self(*words, "--json")[1])
        return [(it["level"], it["code"]) for it in result["findings"]]


@pytest.fixture
def lint(capsys: pytest.CaptureFixture[str]) -> Lint:
    return Lint(capsys)


def test_a_good_playbook_has_no_findings_and_no_secret_is_fetched(folder: Path, lint: Lint) -> None:
    assert lint("a.yaml") == (0, "no findings\n", "")
    assert not (folder / "ran").exists()


def test_a_checkout_without_wheels_and_env_files_is_checked_but_for_these(
    folder: Path, lint: Lint
) -> None:
    (folder / "tinyapp-1-py3-none-any.whl").unlink()
    (folder / "wheels").rmdir()
    (folder / "a.yaml").write_text(BOOK + "env_file: prod.env\n")
    status, out, err = lint("a.yaml")
    assert (status, out) == (0, "no findings\n")
    names = [line.split()[1] for line in err.splitlines()]
    assert names == ["*.whl", "wheels", "prod.env"]
    assert all(line.endswith("is not there: not checked") for line in err.splitlines())


def test_a_bundle_at_a_url_is_not_fetched(folder: Path, lint: Lint) -> None:
    lines = [line for line in BOOK.splitlines() if not line.startswith(("wheel", "lock"))]
    url = "https://store.example.com/x.shipit?token=s3ntinel"
    (folder / "a.yaml").write_text("\n".join([*lines, f'bundle: "{url}"', "transfer: pull"]))
    skipped = "note: https://store.example.com/x.shipit?*** is not fetched: not checked\n"
    assert lint("a.yaml") == (0, "no findings\n", skipped)


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("sevices: {}\n", ["playbook-unknown-key"]),
        ("env: {A: '{{ gone }}'}\n", ["template-undefined"]),
        ("files: [{src: gone.ini, dest: a}]\n", ["playbook-value"]),
        ("files: [{src: a.ini.j2, dest: a}]\n", ["template-syntax"]),
        ("env_file: bad.env\n", ["env-file"]),
        ("smoke: [x]\nkeep_releases: no\n", ["playbook-value", "playbook-value"]),
    ],
)
def test_it_finds_what_a_deploy_finds(
    folder: Path, lint: Lint, change: str, codes: list[str]
) -> None:
    (folder / "a.ini.j2").write_text("{{ }")
    (folder / "bad.env").write_text("A\n")
    (folder / "a.yaml").write_text(BOOK + change)
    assert lint.codes("a.yaml") == [("error", code) for code in codes]
    assert lint("a.yaml")[0] == 2


def test_a_program_that_no_wheel_has_is_found(folder: Path, lint: Lint) -> None:
    (folder / "a.yaml").write_text(BOOK.replace("command: tinyapp", "command: tinyap"))
    assert lint.codes("a.yaml") == [("error", "unknown-program")]


def test_a_pattern_for_hosts_is_checked(folder: Path, lint: Lint) -> None:
    assert lint.codes("a.yaml", "-l", "web3") == [("error", "pattern-unknown")]
    (folder / "a.yaml").write_text(BOOK.replace("hosts: web", "hosts: wbe"))
    assert lint.codes("a.yaml") == [("error", "pattern-unknown")]


def test_warnings_fail_only_if_they_are_to(folder: Path, lint: Lint) -> None:
    (folder / "a.yaml").write_text(BOOK + "env: {API_TOKEN: abc}\nvars: {x: 1}\n")
    found = [("warning", "plain-secret"), ("warning", "unused-variable")]
    assert lint.codes("a.yaml") == found
    status, out, _ = lint("a.yaml")
    assert (status, out.splitlines()[-1]) == (0, "2 warnings")
    assert out.startswith("warning: a.yaml:9:18: ")
    assert lint("a.yaml", "--strict")[0] == 2


def test_several_playbooks_are_checked_and_what_they_share_is_reported_once(
    folder: Path, lint: Lint
) -> None:
    (folder / "b.yaml").write_text(BOOK + "vars: {x: 1}\n")
    (folder / "lock.txt").write_text("click\n")
    codes = [("error", "not-pinned"), ("error", "playbook-missing"), ("warning", "unused-variable")]
    assert sorted(lint.codes("a.yaml", "b.yaml", "gone.yaml")) == codes


def test_a_broken_inventory_and_a_broken_option_are_findings(folder: Path, lint: Lint) -> None:
    assert lint.codes("a.yaml", "-e", "x") == [("error", "extra-vars")]
    (folder / "inventory.yaml").write_text("web: {hots: {}}")
    assert lint.codes("a.yaml") == [("error", "inventory-key")]
    (folder / "inventory.yaml").unlink()
    assert lint.codes("a.yaml") == [("error", "inventory-missing")]


def test_what_may_be_in_a_locked_vault_is_no_mistake_and_is_named(folder: Path, lint: Lint) -> None:
    (folder / "group_vars").mkdir()
    (folder / "group_vars/web.yml").write_text(LOCKED)
    (folder / "a.yaml").write_text(BOOK + "env: {A: '{{ in_vault }}'}\n")
    status, out, err = lint("a.yaml")
    assert (status, out) == (0, "no findings\n")
    assert "'in_vault' is undefined" in err
    assert "group_vars/web.yml" in err
    (folder / "group_vars/web.yml").unlink()
    assert lint.codes("a.yaml") == [("error", "template-undefined")]


def test_an_encrypted_playbook_is_named_and_a_secret_of_a_vault_is_not_opened(
    folder: Path, lint: Lint
) -> None:
    (folder / "b.yaml").write_text(sealed(Secret(BOOK), Secret("right")))
    status, out, err = lint("b.yaml")
    assert (status, out) == (0, "no findings\n")
    assert err.startswith("note: b.yaml:1:1: this is encrypted with ansible-vault")
    variables = {"password": {"__ansible_vault": LOCKED}}
    hosts = {"web": {"hosts": {"web1": None}, "vars": variables}}
    (folder / "inventory.yaml").write_text(json.dumps(hosts))
    (folder / "a.yaml").write_text(BOOK.replace("env:NOT_SET", "'{{ password }}'"))
    assert lint("a.yaml") == (0, "no findings\n", "")


def test_a_password_that_does_not_open_the_vault_is_a_mistake(folder: Path, lint: Lint) -> None:
    (folder / "group_vars").mkdir()
    (folder / "group_vars/web.yml").write_text(LOCKED)
    (folder / "password").write_text("x")
    assert lint.codes("a.yaml", "--vault-password-file", "password") == [
        ("error", "vault-password")
    ]
    (folder / "password").write_text("right")
    assert lint.codes("a.yaml", "--vault-password-file", "password") == []


def test_no_program_of_ansible_cfg_is_run_for_a_password(folder: Path, lint: Lint) -> None:
    (folder / "group_vars").mkdir()
    (folder / "group_vars/web.yml").write_text(LOCKED)
    (folder / "ansible.cfg").write_text("[defaults]\nvault_password_file = password\n")
    (folder / "a.yaml").write_text(BOOK + "env: {A: '{{ in_vault }}'}\n")
    assert "not checked" in lint("a.yaml")[2]  # it is not there
    (folder / "password").write_text("#!/bin/sh\necho right\n")
    (folder / "password").chmod(0o755)
    assert "not checked" in lint("a.yaml")[2]
    (folder / "password").write_text("right\n")
    (folder / "password").chmod(0o600)
    assert lint("a.yaml") == (0, "no findings\n", "")


def formatted(lint: Lint, name: str, words: Sequence[str] = ()) -> tuple[int, str]:
    status, out, _ = lint("a.yaml", "--format", name, *words)
    return status, out


def test_github_gets_annotations_and_nothing_else(folder: Path, lint: Lint) -> None:
    assert formatted(lint, "github") == (0, "")
    (folder / "a.yaml").write_text(BOOK + "sevices: {}\n")
    status, out = formatted(lint, "github")
    head, what = out.split("::")[1:]
    assert (status, head) == (2, "error file=a.yaml,line=9,col=1,title=playbook-unknown-key")
    assert what == "unknown key 'sevices'%0Adid you mean 'services'?\n"


def test_code_scanning_gets_one_document(folder: Path, lint: Lint) -> None:
    (folder / "a.yaml").write_text(BOOK + "sevices: {}\n")
    status, out = formatted(lint, "sarif")
    run: dict[str, Any] = json.loads(out)["runs"][0]
    assert status == 2
    assert [result["ruleId"] for result in run["results"]] == ["playbook-unknown-key"]
    assert run["tool"]["driver"]["rules"][0]["fullDescription"]["text"].startswith("The playbook")


def test_json_has_the_findings_with_their_places_and_what_was_skipped(
    folder: Path, lint: Lint
) -> None:
    (folder / "a.yaml").write_text(BOOK.replace("wheels", "gone") + "vars: {x: 1}\n")
    result = json.loads(lint("a.yaml", "--json")[1])
    assert (result["what"], result["exit_status"]) == ("lint", 0)
    (finding,) = result["findings"]
    assert finding["place"] == {"file": "a.yaml", "line": 9, "column": 8}
    assert result["skipped"] == ["gone is not there: not checked"]


def test_the_vault_password_is_asked_for_once(
    folder: Path, lint: Lint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(prompt: str, **_: object) -> str:
        asked.append(prompt)
        return "right"

    monkeypatch.setattr("click.prompt", answer)
    (folder / "group_vars").mkdir()
    (folder / "group_vars/web.yml").write_text(LOCKED)
    (folder / "b.yaml").write_text(BOOK)
    lint("a.yaml", "b.yaml", "-J")
    assert len(asked) == 1


def test_it_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("web: {hosts: {web1: , web2: }}")
    (tmp_path / "a.yaml").write_text(BOOK)
    program = "import sys; from shipit.cli.main import main; main(); print(*sys.modules)"
    words = ["lint", str(tmp_path / "a.yaml")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    heavy = {"cryptography", "fabric", "invoke", "paramiko", "rich", "structlog"}
    assert heavy & {*done.stdout.split()} == set()
