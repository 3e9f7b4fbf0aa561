"""From a playbook to a release for one host: how often its input is rendered, and its id."""

from __future__ import annotations

import platform
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import relocatable
from shipit.agent.protocol.answers import Interpreter
from shipit.agent.protocol.assets import Assets
from shipit.agent.protocol.balancers import Haproxy, LoadBalancer
from shipit.agent.protocol.codec import from_json, to_json
from shipit.agent.protocol.hooks import Hook
from shipit.agent.protocol.manifest import Manifest, Watch
from shipit.agent.protocol.messages import Attempt, Facts
from shipit.errors import InputError
from shipit.playbook import models
from shipit.playbook.fields import EVERY_FILE
from shipit.project.cache import sha256_of
from shipit.release import build, inputs
from shipit.release.manifest import slow_digest
from shipit.render.templating import Variables
from wheelhouse import Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.release.build import BuiltRelease
    from shipit.release.manifest import Digest

PYTHON = Interpreter(
    path="/usr/bin/python3", version="3.11.2", implementation="cpython", machine="x86_64"
)
FACTS = Facts(
    protocol=1,
    hostname="web1",
    machine=platform.machine(),
    libc=("glibc", 2, 36),
    systemd=252,
    agent_python="3.11.2",
    interpreters=(PYTHON,),
    fullest="/opt",
    free_bytes=1,
    free_inodes=1,
    present=(),
    current=None,
    healthy=False,
    units={},
    env={},
    releases=(),
    behind=(),
    holder=None,
    recovered="",
    stuck="",
)
PLAYBOOK = """\
hosts: all
app: tinyapp
wheel: dist/tinyapp-1.0.0-py3-none-any.whl
lock: lock.txt
wheelhouse: wheels
vars: {port: 8000}
services: {web: {command: "tinyapp --fd 3", socket: "{{ port }}"}}
files: [{src: app.ini.j2, dest: app.ini}]
"""
CHECK = (
    'health: [{http: "http://127.0.0.1:{{ port }}/", json: {version: "{{ release.version }}"}}]\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wheel(tmp_path / "dist", Recipe("tinyapp", scripts={"tinyapp": "tinyapp:main"}))
    write_wheel(tmp_path / "wheels", Recipe("uv"))
    write_lock(tmp_path / "lock.txt", [])
    (tmp_path / "inventory.yaml").write_text("all: {hosts: {web1: }}\n")
    (tmp_path / "app.ini.j2").write_text("release = {{ release.id }}\n")
    return tmp_path


def built(folder: Path, playbook: str, digest: Digest = slow_digest) -> BuiltRelease:
    (folder / "playbook.yaml").write_text(playbook)
    run = inputs.RunOptions(folder / "playbook.yaml", (folder / "inventory.yaml",))
    ((resolved,),) = [inputs.resolve(found) for found in inputs.targets(run, must_exist=EVERY_FILE)]
    attempt = Attempt("t1", "deploy", "me", 1, "now")
    return build.build(resolved, FACTS, attempt, digest, "00")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is rendered and validated."""
    found: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:  # noqa: ANN401
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            found[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted(models, "validate")
    counted(Variables, "fill_file")
    return found


def test_a_playbook_is_validated_once_as_written_and_once_for_a_host(
    folder: Path, calls: Counter[str]
) -> None:
    built(folder, PLAYBOOK)
    assert calls["validate"] == 2


def test_a_playbook_that_uses_its_release_is_rendered_once_for_each_name_of_it(
    folder: Path, calls: Counter[str]
) -> None:
    made = built(folder, PLAYBOOK + CHECK)
    assert calls["validate"] == 4  # as written; without a release, with its version, with its id
    assert made.manifest.gate.checks[0].json == {"version": "1.0.0"}


def test_a_text_is_rendered_once_for_the_id_and_once_with_it(
    folder: Path, calls: Counter[str]
) -> None:
    made = built(folder, PLAYBOOK + CHECK)
    assert calls["fill_file"] == 2 * len(made.texts)
    assert made.texts["files/app.ini"] == f"release = {made.manifest.id}\n"


def test_an_env_file_without_its_release_is_digested_once(folder: Path) -> None:
    asked = set[tuple[str, str]]()

    def digest(text: str, salt: str) -> str:
        asked.add((text, salt))
        return ""

    built(folder, PLAYBOOK, digest)
    assert len(asked) == 1
    asked.clear()
    built(folder, PLAYBOOK + "env: {RELEASE: '{{ release.id }}'}\n", digest)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("playbook", "release"),
    [(PLAYBOOK, "1.0.0-fbb54ced"), (PLAYBOOK + CHECK, "1.0.0-896e4a97")],
)
def test_a_release_has_the_id_that_earlier_versions_of_shipit_gave_it(
    folder: Path, playbook: str, release: str
) -> None:
    """With another id, a deploy after an update of shipit would restart what has not changed."""
    assert built(folder, playbook).manifest.id == release


HOOKED = PLAYBOOK + "hooks: [{when: after_activate, command: tinyapp warm, run: once}]\n"


def test_hooks_of_hosts_are_in_the_manifest_and_in_the_id(folder: Path) -> None:
    plain, hooked = built(folder, PLAYBOOK).manifest, built(folder, HOOKED).manifest
    (hook,) = hooked.hooks
    assert hooked.id != plain.id
    assert (hook.name, hook.when, hook.command) == (
        "tinyapp",
        "after_activate",
        ("tinyapp", "warm"),
    )
    assert (hook.user, hook.once, hook.timeout) == ("tinyapp", True, 300.0)
    assert hook.directory == f"/opt/tinyapp/releases/{hooked.id}/files"
    assert from_json(Manifest, to_json(hooked)) == hooked


def test_hooks_of_the_controller_are_no_part_of_a_release(folder: Path) -> None:
    notified = built(folder, HOOKED.replace("once", "controller")).manifest
    assert notified.hooks == ()
    assert notified.id == built(folder, PLAYBOOK).manifest.id


BALANCED = PLAYBOOK + (
    'load_balancer: {haproxy: {sockets: ["lb1:9999", /run/admin.sock], backend: web,'
    ' server: "{{ inventory_hostname }}"}, wait: 5s}\n'
)


def test_the_load_balancer_is_in_the_manifest_and_but_for_the_host_in_the_id(folder: Path) -> None:
    made = built(folder, BALANCED).manifest
    haproxy = Haproxy(("lb1:9999", "/run/admin.sock"), "web", "web1")
    assert made.balancer == LoadBalancer(5.0, haproxy)
    assert from_json(Manifest, to_json(made)) == made
    same = built(folder, BALANCED.replace("{{ inventory_hostname }}", "other")).manifest
    assert same.id == made.id != built(folder, PLAYBOOK).manifest.id
    assert built(folder, BALANCED.replace("backend: web", "backend: api")).manifest.id != made.id


def test_the_commands_of_a_load_balancer_run_in_the_release(folder: Path) -> None:
    commands = "{drain: {command: out 'a b', user: lb}, undrain: {command: back, timeout: 5s}}"
    made = built(folder, f"{PLAYBOOK}load_balancer: {commands}\n").manifest
    assert made.balancer
    drain, undrain = made.balancer.drain, made.balancer.undrain
    assert drain
    assert undrain
    assert (drain.command, drain.user, drain.timeout) == (("out", "a b"), "lb", 60.0)
    assert (undrain.command, undrain.user, undrain.timeout) == (("back",), "tinyapp", 5.0)
    assert drain.directory == f"/opt/tinyapp/releases/{made.id}/files"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{from: static/dist/}", Assets(3, "files/static/dist")),
        ("{from: 'tiny.app:static', keep: 2}", Assets(2, "tiny/app/static", is_in_package=True)),
    ],
)
def test_static_files_are_in_the_manifest_and_in_the_id(
    folder: Path, written: str, expected: Assets
) -> None:
    plain = built(folder, PLAYBOOK).manifest
    made = built(folder, f"{PLAYBOOK}assets: {written}\n").manifest
    assert (plain.assets, made.assets) == (None, expected)
    assert made.id != plain.id
    assert from_json(Manifest, to_json(made)) == made


def test_a_command_makes_static_files_where_services_find_those_of_their_release(
    folder: Path,
) -> None:
    written = "assets: {command: tinyapp collect --all, timeout: 2m}\nkeep_releases: 2\n"
    made = built(folder, PLAYBOOK + written + "env: {SHIPIT_ASSETS: /of/a/developer}\n")
    assets = made.manifest.assets
    assert assets is not None
    assert assets.keep == 2  # of no more releases than there are
    top = f"/opt/tinyapp/releases/{made.manifest.id}"
    assert assets.command == Hook(
        "assets", "staged", ("tinyapp", "collect", "--all"), 120.0, "tinyapp", f"{top}/files"
    )
    assert {text.splitlines()[-1] for text in made.env.values()} == {
        f'SHIPIT_ASSETS="{top}/assets"'
    }


def test_how_a_release_is_watched_is_in_the_manifest_and_in_the_id(folder: Path) -> None:
    plain = built(folder, PLAYBOOK).manifest
    watched = built(folder, PLAYBOOK + "watch: 10m\n").manifest
    assert plain.watch is None
    assert watched.watch == Watch(600.0, 30.0, "report", "report")
    chosen = "watch: {for: 0s, every: 5, on_failure: report, at_boot: rollback}\n"
    at_boot = built(folder, PLAYBOOK + chosen).manifest
    assert at_boot.watch == Watch(0.0, 5.0, "report", "rollback")
    assert len({plain.id, watched.id, at_boot.id}) == 3
    assert from_json(Manifest, to_json(at_boot)) == at_boot


# --- serve ----------------------------------------------------------------------------------------

SERVED = PLAYBOOK.replace('command: "tinyapp --fd 3"', "serve: uvicorn tinyapp:app")


def lock_uvicorn(folder: Path, version: str) -> None:
    scripts = {"uvicorn": "uvicorn.main:main"}
    wheel = write_wheel(folder / "wheels", Recipe("uvicorn", version, scripts=scripts))
    write_lock(folder / "lock.txt", [wheel])


def test_what_a_server_became_is_in_the_units_the_files_and_the_plan(folder: Path) -> None:
    lock_uvicorn(folder, "0.54.0")
    made = built(folder, SERVED)
    by = "files/.shipit/patient_uvicorn.py"
    became = "tinyapp:app --timeout-graceful-shutdown 25 --fd 3 --http patient_uvicorn:"
    (unit,) = (unit for unit in made.manifest.units if unit.watched)
    top = f"/opt/tinyapp/releases/{made.manifest.id}"
    assert unit.command[:3] == (f"{top}/venv/bin/python", f"{top}/{by}", "tinyapp:app")
    assert became in " ".join(unit.command)
    assert "class PatientProtocol" in made.texts[by]
    assert {text.name: text.mode for text in made.manifest.texts}[by] == 0o644
    (said,) = made.served
    assert said.startswith(f"web: uvicorn {became}")
    assert said.endswith("; stop_timeout: 30s; by patient_uvicorn.py")


def test_a_version_that_serve_does_not_support_is_refused_at_its_line(folder: Path) -> None:
    lock_uvicorn(folder, "0.35.0")
    with pytest.raises(InputError) as caught:
        built(folder, SERVED)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "server-unsupported"
    assert "0.36 or later, before 1; 0.35.0 is locked" in mistake.what
    assert mistake.place is not None
    assert (mistake.place.line, mistake.place.column) == (7, 25)
    listening = SERVED.replace(', socket: "{{ port }}"', "")
    assert built(folder, listening).served == (
        "web: uvicorn tinyapp:app --timeout-graceful-shutdown 25; stop_timeout: 30s",
    )


# --- a Python that comes with the release --------------------------------------------------------


@pytest.fixture
def archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(folder / "cache"))
    return relocatable.write(folder / "pythons")


def brought(archive: Path, version: str = ">=3") -> str:
    named = f"{{path: {archive}, sha256: {sha256_of(archive)}}}"
    return PLAYBOOK + f'python: {{version: "{version}", source: bundle, archives: [{named}]}}\n'


def test_it_is_sent_named_in_the_manifest_and_in_the_id(folder: Path, archive: Path) -> None:
    made = built(folder, brought(archive, "~=3.1"))
    python, host = made.manifest.python, built(folder, PLAYBOOK)
    assert python is not None
    digest = sha256_of(archive)
    assert (python.sha256, python.version, python.filename) == (
        digest,
        relocatable.VERSION,
        archive.name,
    )
    assert made.manifest.interpreter == f"/var/lib/shipit-python/{digest}/{relocatable.PROGRAM}"
    assert [blob.path for blob in made.blobs if blob.sha256 == digest] == [archive]
    assert made.manifest.id != host.manifest.id
    assert (host.manifest.python, host.manifest.interpreter) == (None, "/usr/bin/python3")
    other = relocatable.write(folder / "other", mark="other bytes")
    assert built(folder, brought(other)).manifest.id != made.manifest.id
    assert from_json(Manifest, to_json(made.manifest)) == made.manifest


def test_the_wheels_are_those_for_it_and_not_for_the_hosts(folder: Path, archive: Path) -> None:
    short = relocatable.SHORT.removeprefix("python").replace(".", "")
    machine = platform.machine()
    recipes = [
        Recipe("fast", tag=f"cp{number}-cp{number}-manylinux_2_17_{machine}")
        for number in (short, "399")
    ]
    write_lock(folder / "lock.txt", [write_wheel(folder / "wheels", each) for each in recipes])
    (wheel,) = built(folder, brought(archive)).manifest.wheels
    assert f"-cp{short}-" in wheel.filename


def test_a_python_that_the_playbook_does_not_accept_is_refused(folder: Path, archive: Path) -> None:
    with pytest.raises(InputError) as caught:
        built(folder, brought(archive, "3.99"))
    assert caught.value.mistakes[0].code == "no-such-python"


def test_archives_of_a_host_s_own_python_are_a_contradiction(folder: Path, archive: Path) -> None:
    with pytest.raises(InputError, match="write `source: bundle`"):
        built(folder, brought(archive).replace("source: bundle, ", ""))
