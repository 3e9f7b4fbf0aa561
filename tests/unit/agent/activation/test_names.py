"""Which directories a release's units would be given."""

from __future__ import annotations

import pwd
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agent_builders
from shipit.agent.activation import names
from shipit.agent.system import accounts
from shipit.agent.system.paths import Paths

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Manifest


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("[Service]\nStateDirectory=a b/c\n", ["/var/lib/a", "/var/lib/b/c"]),
        ("[Service]\nLogsDirectory=a\nLogsDirectory=\nLogsDirectory=b\n", ["/var/log/b"]),
        ("[Service]\nRuntimeDirectory=%N %i\n", ["/run/demo-web@1.2", "/run/1.2"]),
        ("[Service]\nStateDirectory=a:link\n", ["/var/lib/a"]),
        ('[Service]\nCacheDirectory="a" \\\n  b\n', ["/var/cache/a", "/var/cache/b"]),
        ("[Service]\nConfigurationDirectory=apt\n", []),
        ("[Install]\nStateDirectory=a\n#[Service]\n", []),
        ("[Service]\n;StateDirectory=a\n", []),
    ],
)  # fmt: skip
def test_the_directories_are_those_that_systemd_reads(text: str, paths: list[str]) -> None:
    found = names.wanted({"units/demo-web@1.2.service": text})
    assert [each.path for each in found] == paths


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("User=web\n", "web"),
        ("User=web\nUser=other\n", "other"),
        ("", "root"),
        ("User=web\nDynamicUser=yes\n", ""),
    ],
)
def test_they_become_the_units_own_user_s(text: str, user: str) -> None:
    text = f"[Service]\nStateDirectory=demo\n{text}"
    assert [each.user for each in names.wanted({"units/demo-web.service": text})] == [user]


def test_they_become_the_units_own_group_s() -> None:
    text = "[Service]\nStateDirectory=demo\nUser=web\nGroup=%p\n"
    (found,) = names.wanted({"units/demo-web.service": text})
    assert (found.user, found.group, found.kind) == ("web", "demo-web", "StateDirectory")


def test_the_rendered_files_of_a_release_are_no_units() -> None:
    assert names.wanted({"files/x.service": "[Service]\nStateDirectory=demo\n"}) == ()


# --- what is there -----------------------------------------------------------------------------

TEXT = "[Service]\nUser=root\nStateDirectory=demo\nRuntimeDirectory=demo-web\n"


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> names.Named:
    below = {key: f"{tmp_path}{folder}" for key, folder in names.DIRECTORIES.items()}
    monkeypatch.setattr(names, "DIRECTORIES", below)
    paths = Paths("demo", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "units"))
    wheel = tmp_path / "uv-1-py3-none-any.whl"
    bundle = agent_builders.Bundle(wheel, wheel, ())
    wheel.touch()
    made: Manifest = agent_builders.manifest(paths, bundle, texts={"units/demo-web.service": TEXT})
    host = agent_builders.NoSystemd()
    texts = {"units/demo-web.service": TEXT}
    return names.Named(paths, host, replace(made, user="root"), texts)


def codes(named: names.Named) -> list[str]:
    return [each.code for each in names.problems(named)]


def top(named: names.Named) -> str:
    return str(Path(named.paths.root).parent)


def put(named: names.Named, path: str) -> None:
    file = Path(top(named) + path)
    file.parent.mkdir(parents=True)
    file.touch()


def test_what_is_the_users_own_is_the_apps_except_in_run(named: names.Named) -> None:
    put(named, "/var/lib/demo/data")
    assert codes(named) == []
    put(named, "/run/demo-web/theirs.sock")
    assert codes(named) == ["directory-taken"]


def test_what_an_earlier_release_was_given_is_the_apps(named: names.Named) -> None:
    put(named, "/run/demo-web/ours.sock")
    release = named.paths.release("0.9-aaaaaaaa")
    Path(release.units).mkdir(parents=True)
    Path(release.units, "demo-web.service").write_text(TEXT)
    Path(release.manifest).write_text('{"units": [{"name": "demo-web.service"}]}')
    assert codes(named) == []


def test_a_new_disk_is_empty(named: names.Named) -> None:
    Path(f"{top(named)}/var/lib/demo/lost+found").mkdir(parents=True)
    stranger = replace(named, texts={"units/demo-web.service": TEXT.replace("root", "nobody")})
    assert codes(stranger) == []
    put(named, "/var/lib/demo/lost+found/x/file")
    Path(f"{top(named)}/var/lib/demo/data").touch()
    assert codes(stranger) == ["directory-taken"]


def test_a_comment_alone_makes_no_account_of_ours(
    named: names.Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users may change their own comment where chfn lets them."""
    homes = {"/nonexistent": [], "/home/demo": ["user-taken"]}
    for home, reported in homes.items():
        account = pwd.struct_passwd(("demo", "x", 1001, 1001, "shipit,,,", home, "/bin/sh"))
        monkeypatch.setattr(accounts, "user", lambda _name, found=account: found)
        manifest = replace(named.manifest, user="demo")
        found = names.problems(replace(named, manifest=manifest, texts={}))
        assert [each.code for each in found] == reported
