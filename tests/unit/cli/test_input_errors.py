"""Mistakes on the controller are reported clearly, with exit status 2, before any host is queried.

In process, with an inventory whose hosts nobody may connect to. That a refusal changes nothing on
real hosts, and that these are as they were when one has been asked, is in hosts/test_bad_input.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

import wheelhouse
from fake_fleet import NoNetwork
from hosts.site import problems
from hosts.workspace import SECRET, Done, Workspace
from shipit.cli import main
from shipit.rollout import logins
from shipit.transport import connect
from wheelhouse import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INVENTORY = """\
all:
  children:
    web:
      hosts:
        web1: {ansible_host: 192.0.2.1}
        web2: {ansible_host: 192.0.2.2}
"""


@dataclass
class Desk(Workspace):
    """A user's folder, and the command line in this process."""

    printed: pytest.CaptureFixture[str] | None = None

    def wants(self, **changes: object) -> None:
        self.wheel("1.0.0")
        self.playbook("1.0.0", **changes)

    def place(self, text: str) -> str:
        """Return the place of a text in the playbook, as in JSON."""
        lines = (self.folder / "playbook.yaml").read_text().splitlines()
        (line,) = (number for number, each in enumerate(lines, 1) if text in each)
        return f'"line": {line}'

    def deploy_now(self, *words: str) -> Done:
        assert self.printed is not None
        self.printed.readouterr()
        status = main.main(["deploy", "playbook.yaml", *words])
        out, err = self.printed.readouterr()
        return Done(status, out, err)

    def refuses(self, *words: str, code: str, says: Sequence[str]) -> None:
        """Deploy what must be refused with this one problem, reported with all of `says`."""
        done = self.deploy_now("--json", *words)
        assert (done.status, done.result["exit_status"]) == (2, 2), done.output
        found = [each for each in problems(done) if each["code"] == code]
        assert found, done.output
        assert found[0]["hint"], f"{code} does not say what to do: {found[0]}"
        whole = json.dumps(found[0], ensure_ascii=False).replace('\\"', '"')
        for word in says:
            assert word in whole, f"{word!r} is not in {whole}"


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Desk:
    def refuse(*_: object) -> None:
        raise AssertionError("a host was connected to")

    monkeypatch.setattr(connect, "connect", refuse)
    monkeypatch.setattr(logins, "Network", NoNetwork)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYAPP_PASSWORD", SECRET)
    desk = Desk(tmp_path, cast("Any", None), printed=capsys)
    desk.inventory([], INVENTORY)
    wheelhouse.write_wheel(desk.wheels, Recipe("uv"))
    desk.lock()
    return desk


def test_with_nothing_wrong_the_hosts_are_asked(desk: Desk) -> None:
    """Else a refusal below might be for want of something else."""
    desk.wants()
    done = desk.deploy_now("--json")
    assert "a host was connected to" in done.output


# --- what is written in the playbook -----------------------------------------------------------


def test_an_unknown_key_is_reported_with_its_place_and_the_nearest_key(desk: Desk) -> None:
    desk.wants(sevices={})
    place = desk.place("sevices")
    says = ["playbook.yaml", place, "'sevices'", "did you mean 'services'?"]
    desk.refuses(code="playbook-unknown-key", says=says)


def test_a_wrong_type_is_reported_with_what_was_expected(desk: Desk) -> None:
    desk.wants(keep_releases="many")
    place = desk.place("keep_releases")
    says = ["playbook.yaml", place, "keep_releases", "expected", "'many'"]
    desk.refuses(code="playbook-value", says=says)


def test_an_undefined_variable_of_the_playbook_is_reported_with_its_place(desk: Desk) -> None:
    desk.wants(vars={"greeting": "hello"}, env={"GREETING": "{{ greting }}"})
    place = desk.place("greting")
    says = ["playbook.yaml", place, "'greting'", "greeting"]
    desk.refuses(code="template-undefined", says=says)


def test_an_undefined_variable_of_a_template_file_is_reported_with_its_place(desk: Desk) -> None:
    (desk.folder / "app.ini.j2").write_text("[app]\nlevel = {{ levle }}\n")
    desk.wants(vars={"level": 1}, files=[{"src": "app.ini.j2", "dest": "app.ini"}])
    says = ["app.ini.j2", '"line": 2', "'levle'", "did you mean 'level'?"]
    desk.refuses(code="template-undefined", says=says)


def test_a_missing_app_wheel_is_reported(desk: Desk) -> None:
    desk.wants(wheel="tinyapp-9.9.9-py3-none-any.whl")
    says = ["playbook.yaml", desk.place("9.9.9"), "expected a file that exists", "9.9.9"]
    desk.refuses(code="playbook-value", says=says)


def test_a_locked_wheel_that_is_not_there_is_reported_with_the_command_that_gets_it(
    desk: Desk,
) -> None:
    missing = wheelhouse.write_wheel(desk.folder / "elsewhere", Recipe("leftpad", "2.0"))
    desk.wants()
    desk.lock(missing)
    says = ["leftpad==2.0", "requirements.lock", '"line": 1', "pip download", "wheels"]
    desk.refuses(code="missing-wheel", says=says)


def test_a_wheel_with_another_hash_than_the_lock_says_is_reported(desk: Desk) -> None:
    wheel = wheelhouse.write_wheel(desk.wheels, Recipe("leftpad", "3.0"))
    desk.wants()
    desk.lock(wheel)
    wheelhouse.write_wheel(desk.wheels, Recipe("leftpad", "3.0", files={"evil.py": "1"}))
    says = [wheel.name, f"sha256:{wheelhouse.sha256(wheel)}", "expected", "requirements.lock:1"]
    desk.refuses(code="wrong-hash", says=says)


def test_a_source_instead_of_a_wheel_is_reported(desk: Desk) -> None:
    wheel = wheelhouse.write_wheel(desk.folder / "elsewhere", Recipe("fromsource", "1.0"))
    (desk.wheels / "fromsource-1.0.tar.gz").write_bytes(b"")
    desk.wants()
    desk.lock(wheel)
    says = ["fromsource==1.0", "only the source", "requirements.lock", "--only-binary"]
    desk.refuses(code="only-sdist", says=says)


def test_a_lock_without_hashes_is_reported(desk: Desk) -> None:
    desk.wants()
    (desk.folder / "requirements.lock").write_text("leftpad==1.0\n")
    desk.refuses(code="no-hash", says=["leftpad", "requirements.lock", "hash"])


def test_an_unknown_group_is_reported_with_the_nearest(desk: Desk) -> None:
    desk.wants(hosts="wbe")
    says = ["'wbe'", "did you mean 'web", desk.place("wbe")]
    desk.refuses(code="pattern-unknown", says=says)


@pytest.mark.parametrize(
    ("limit", "code", "says"),
    [
        ("web1:!web1", "no-hosts", ["'web' selects no host", "web1:!web1", "groups: all"]),
        ("wbe1", "pattern-unknown", ["'wbe1'", "--limit", "did you mean 'web1'?"]),
        (":", "limit-empty", ["--limit", "all hosts"]),
    ],
)
def test_a_limit_that_leaves_no_host_is_reported(
    desk: Desk, limit: str, code: str, says: list[str]
) -> None:
    desk.wants()
    desk.refuses("--limit", limit, code=code, says=says)


@pytest.mark.parametrize("dest", ["../stolen", "a/../../stolen", "/etc/stolen"])
def test_a_dest_outside_of_the_release_is_reported(desk: Desk, dest: str) -> None:
    (desk.folder / "app.ini.j2").write_text("[app]\n")
    desk.wants(files=[{"src": "app.ini.j2", "dest": dest}])
    says = ["playbook.yaml", desk.place(dest), dest, "files/"]
    desk.refuses(code="playbook-value", says=says)


def test_a_secret_that_is_not_set_is_reported(desk: Desk) -> None:
    desk.wants(secrets={"PASSWORD": "env:NOT_SET_ANYWHERE"})
    says = ["NOT_SET_ANYWHERE", desk.place("NOT_SET"), "export"]
    desk.refuses(code="secret-missing", says=says)


def test_several_mistakes_are_reported_at_once_also_on_the_console(desk: Desk) -> None:
    desk.wants(sevices={}, keep_releases="many", env={"bad-name": "x"})
    done = desk.deploy_now("--json")
    codes = sorted(each["code"] for each in problems(done))
    assert codes == ["playbook-key", "playbook-unknown-key", "playbook-value"], done.output
    human = desk.deploy_now()
    assert human.status == 2
    for line in ("sevices", "keep_releases", "bad-name", "3 mistakes; nothing was changed"):
        assert line in human.output


def test_mistakes_of_wheels_templates_and_secrets_are_reported_at_once(desk: Desk) -> None:
    missing = wheelhouse.write_wheel(desk.folder / "elsewhere", Recipe("leftpad", "2.0"))
    (desk.folder / "app.ini.j2").write_text("{{ prot }}\n")
    desk.wants(
        files=[{"src": "app.ini.j2", "dest": "app.ini"}],
        secrets={"PASSWORD": "env:NOT_SET_ANYWHERE"},
    )
    desk.lock(missing)
    reported = problems(desk.deploy_now("--json"))
    codes = {"missing-wheel", "template-undefined", "secret-missing"}
    assert {each["code"] for each in reported} == codes, reported
