"""A staged release is whole, verified and invisible; a failed one leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import agent_builders
from agent_builders import NoSystemd
from marks import needs_root
from shipit.agent.protocol.assets import Assets
from shipit.agent.protocol.hooks import Hook
from shipit.agent.protocol.manifest import Check, Gate, Manifest, Python, Rendered, Signed
from shipit.agent.protocol.messages import Part, Staged, StepBegan, StepEnded, Survey
from shipit.agent.protocol.migrations import Migration
from shipit.agent.records import history, releases
from shipit.agent.records.redactor import Redactor
from shipit.agent.server.channel import ControllerDisconnected
from shipit.agent.staging import preflight, stage
from shipit.agent.staging.signature import ForTarget, Listed
from shipit.agent.storage import blobs, unchanged, venv_drift
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from shipit.agent.system.process import Done
from shipit.agent.transaction.states import State
from shipit.agent.transaction.store import Store
from signing import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_root

SECRET = "s3cret-sentinel-value"
ENV = f'TOKEN="{SECRET}"\nMODE="x"\n'
TEXTS = {
    f"units/{agent_builders.UNIT}": agent_builders.SERVICE,
    "files/conf/app.ini": "[app]\n",
}


def booted() -> bool:
    return Path(preflight.SYSTEMD_RUNS).is_dir()


@dataclass
class Stage:
    """A place to stage in, and what was said there."""

    paths: Paths
    folder: Path
    host: NoSystemd
    said: list[Any]

    @property
    def store(self) -> Store:
        return Store(self.paths, self.host)

    def manifest(self, release: str = "1.0.0-aaaaaaaa", **changes: Any) -> Manifest:  # noqa: ANN401
        bundle = agent_builders.bundle(self.folder / "wheels")
        agent_builders.receive(self.paths, bundle.all)
        made = agent_builders.manifest(self.paths, bundle, release, TEXTS, {"web": ENV})
        return replace(made, **changes)

    def stage(
        self,
        manifest: Manifest,
        txn: str = "txn-1",
        env: str = ENV,
        signed: Signed | None = None,
    ) -> Staged:
        request = agent_builders.stage(manifest, TEXTS, {"web": env}, txn, signed)
        redacted = Redactor(self.paths)
        redacted.learn(manifest, request.env)
        return stage.stage(self.store, request, redacted, lambda: None, self.said.append)

    def refused(self, manifest: Manifest) -> Refused:
        with pytest.raises(Refused) as caught:
            self.stage(manifest)
        return caught.value

    def commit(self, manifest: Manifest, txn: str = "txn-1") -> None:
        """Make as if the staged release had been switched to and committed."""
        entry = history.Entry(txn, "deploy", manifest.id, "1", "", "committed", "dev", "now")
        history.append(self.paths, entry)
        self.store.close()
        Path(self.paths.current).symlink_to(f"releases/{manifest.id}")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter: a smoke command runs as another one."""
    with tempfile.TemporaryDirectory(prefix="shipit-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def place(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    paths = Paths(
        "demo",
        str(open_folder / "opt"),
        var=str(open_folder / "var"),
        units=str(open_folder / "units"),
    )
    Path(paths.units).mkdir()
    if not booted():  # the law is about hosts; this machine may be run by something else
        monkeypatch.setattr(preflight, "SYSTEMD_RUNS", "/")
        monkeypatch.setattr(preflight, "SYSTEM_BUS", "/")
    return Stage(paths, open_folder, NoSystemd(), [])


def mode(path: str) -> str:
    return f"{Path(path).stat().st_mode & 0o7777:04o}"


def test_a_staged_release_is_whole_and_nothing_points_at_it(place: Stage) -> None:
    manifest = place.manifest()
    assert place.stage(manifest) == Staged(manifest.id, reused=False)
    release = place.paths.release(manifest.id)
    assert releases.manifest(place.paths, manifest.id) == manifest
    assert Path(release.text("files/conf/app.ini")).read_text() == "[app]\n"
    assert Path(release.env_file("web")).read_text() == ENV
    assert not Path(place.paths.current).is_symlink()
    assert list(Path(place.paths.units).iterdir()) == []
    opened = place.store.load()
    assert opened is not None
    assert (opened.state, opened.fresh) == (State.BUILD, True)


def test_texts_are_fsynced_one_by_one_and_what_holds_them_all_at_once(
    place: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step flushes the release's file system: no folder needs an fsync of its own."""
    manifest, fsynced = place.manifest(), []
    flushed: list[tuple[str, int]] = []
    fsync, flush = os.fsync, files.sync_filesystem

    def counted(descriptor: int) -> None:
        fsynced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def last(path: str) -> None:
        flushed.append((path, sum(each.startswith(f"{path}/") for each in fsynced)))
        flush(path)

    monkeypatch.setattr(os, "fsync", counted)
    monkeypatch.setattr(files, "sync_filesystem", last)
    place.stage(manifest)
    top = place.paths.release(manifest.id).top
    inside = [os.path.relpath(path, top) for path in fsynced if path.startswith(top)]
    beside = f".{os.getpid()}.new"
    texts = ["files/conf/app.ini", f"units/{agent_builders.UNIT}", "env/web.env", "manifest.json"]
    assert inside == [f"{name}{beside}" for name in texts]
    assert not [path for path in fsynced if path.startswith(place.paths.wheels)]
    assert flushed == [(place.paths.uv_cache, 0), (top, len(texts))]  # nothing follows


def test_env_files_are_for_root_alone(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    release = place.paths.release(manifest.id)
    assert (mode(release.env), mode(release.env_file("web"))) == ("0700", "0600")


def test_files_have_their_mode_and_the_users_group(place: Stage) -> None:
    digest = hashlib.sha256(b"[app]\n").hexdigest()
    manifest = place.manifest(user="nobody")
    private = Rendered("files/conf/app.ini", 0o640, digest)
    texts = tuple(private if t.name == private.name else t for t in manifest.texts)
    place.stage(replace(manifest, texts=texts))
    path = Path(place.paths.release(manifest.id).text("files/conf/app.ini"))
    assert (mode(str(path)), path.owner(), path.group()) == ("0640", "root", "nogroup")


def test_units_are_verified_before_the_answer(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    assert place.host.verified == [
        place.paths.release(manifest.id).text(f"units/{agent_builders.UNIT}")
    ]


def test_every_step_is_reported(place: Stage) -> None:
    place.stage(place.manifest(smoke=("demoapp",), user="nobody"))
    began = [word.step for word in place.said if isinstance(word, StepBegan)]
    ended = [(word.step, word.ok) for word in place.said if isinstance(word, StepEnded)]
    assert began == ["receive", "build", "verify", "smoke"]
    assert ended == [(step, True) for step in began]


def nothing_left(place: Stage, manifest: Manifest) -> bool:
    release = Path(place.paths.release(manifest.id).top)
    return not release.exists() and place.store.load() is None


def test_a_unit_that_systemd_refuses_is_shown_with_its_words(place: Stage) -> None:
    manifest = place.manifest()
    place.host.verdict = Done(1, f"other.service: whatever\n{agent_builders.UNIT}: bad line\n")
    failure = place.refused(manifest).failure
    assert (failure.code, failure.evidence) == ("unit-verify", f"{agent_builders.UNIT}: bad line")
    assert nothing_left(place, manifest)


def test_another_packages_broken_unit_does_not_matter(place: Stage) -> None:
    place.host.verdict = Done(1, "/lib/systemd/system/other.service:3: whatever\n")
    assert place.stage(place.manifest()).release == "1.0.0-aaaaaaaa"


def test_a_failing_smoke_command_shows_its_output_without_secrets(place: Stage) -> None:
    manifest = place.manifest(smoke=("demoapp", "--check"), user="nobody")
    with pytest.raises(Refused) as caught:
        place.stage(manifest, env=ENV + 'SMOKE_STATUS="3"\n')
    failure = caught.value.failure
    assert failure.code == "smoke-failed"
    assert "demoapp --check ended with exit status 3" in failure.what
    assert failure.evidence.startswith("demoapp 42 65534 *** ")
    assert SECRET not in json.dumps(failure.__dict__)
    assert nothing_left(place, manifest)


def test_no_secret_lies_outside_of_its_env_file(place: Stage) -> None:
    manifest = place.manifest(smoke=("demoapp",), user="nobody")
    place.stage(manifest)
    holders = [
        path
        for path in place.folder.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert [str(path) for path in holders] == [place.paths.release(manifest.id).env_file("web")]
    assert SECRET not in repr(place.said)


def test_texts_that_are_not_the_manifests_are_refused(place: Stage) -> None:
    manifest = replace(place.manifest(), texts=())
    assert place.refused(manifest).failure.code == "bad-request"
    assert nothing_left(place, manifest)


def test_a_controller_that_goes_away_leaves_nothing_staged(place: Stage) -> None:
    manifest = place.manifest()
    request = agent_builders.stage(manifest, TEXTS, {"web": ENV})

    def leave(word: object) -> None:
        if isinstance(word, StepEnded) and word.step == "build":
            raise ControllerDisconnected

    with pytest.raises(ControllerDisconnected):
        stage.stage(place.store, request, Redactor(place.paths), lambda: None, leave)
    assert nothing_left(place, manifest)


@contextmanager
def small_disk(at: str, options: str) -> Iterator[None]:
    """Put a file system of its own under a directory."""
    Path(at).mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "tmpfs", at]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("size=20m", "disk-too-small", "20 MiB free"),
        ("nr_inodes=50", "inodes-too-few", "inodes left"),
        ("ro", "read-only", "mounted read-only"),
    ],
)
def test_a_disk_that_is_too_small_is_reported_beforehand(
    place: Stage, options: str, code: str, words: str
) -> None:
    manifest = place.manifest()
    with small_disk(place.paths.root, options):
        (problem,) = preflight.survey(place.paths, place.host, Survey(manifest, 0, TEXTS))
    assert problem.code == code
    assert words in problem.what
    assert place.paths.root in problem.what


@pytest.mark.parametrize(
    ("options", "code"), [("size=64k", "disk-full"), ("nr_inodes=20", "no-inodes")]
)
def test_a_disk_that_fills_up_meanwhile_is_named_and_nothing_is_left(
    place: Stage, monkeypatch: pytest.MonkeyPatch, options: str, code: str
) -> None:
    monkeypatch.setattr(preflight, "RESERVE", -(1 << 60))
    monkeypatch.setattr(preflight, "RESERVED_INODES", -(1 << 30))
    manifest = place.manifest()
    with small_disk(place.paths.root, options):
        assert place.refused(manifest).failure.code in (code, "disk-full")
        assert nothing_left(place, manifest)


# --- a release that is there already -----------------------------------------------------------


def test_a_committed_release_is_used_again(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    place.commit(manifest)
    venv = Path(place.paths.release(manifest.id).venv).stat().st_ino
    assert place.stage(replace(manifest, created="later"), "txn-2").reused
    assert Path(place.paths.release(manifest.id).venv).stat().st_ino == venv
    opened = place.store.load()
    assert opened is not None
    assert not opened.fresh


def test_texts_of_a_release_that_is_used_again_are_put_right(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    place.commit(manifest)
    release = place.paths.release(manifest.id)
    Path(release.text("files/conf/app.ini")).write_text("tampered")
    Path(release.env_file("web")).unlink()
    assert place.stage(manifest, "txn-2").reused
    assert Path(release.text("files/conf/app.ini")).read_text() == "[app]\n"
    assert (Path(release.env_file("web")).read_text(), mode(release.env_file("web"))) == (
        ENV,
        "0600",
    )


def test_a_release_that_was_never_committed_is_made_anew(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    place.store.close()
    left_over = Path(place.paths.release(manifest.id).top) / "left-over"
    left_over.touch()
    assert not place.stage(manifest, "txn-2").reused
    assert not left_over.exists()


def drifted(place: Stage, manifest: Manifest) -> Path:
    """Edit a module in place: uv's cache shares it."""
    (path,) = Path(place.paths.release(manifest.id).venv).glob("lib/*/site-packages/demodep.py")
    with path.open("a") as stream:
        stream.write("# edited\n")
    return path


def test_a_release_that_does_not_run_is_made_anew_where_its_venv_was_changed(place: Stage) -> None:
    older, running = place.manifest(), place.manifest("1.0.0-bbbbbbbb")
    place.stage(older)
    place.commit(older)
    place.stage(running, "txn-2")
    Path(place.paths.current).unlink()
    place.commit(running, "txn-2")
    path = drifted(place, older)
    assert not place.stage(older, "txn-3").reused
    assert "edited" not in path.read_text()
    assert unchanged.since_verified(place.paths, older.id)


def test_a_running_release_whose_venv_was_changed_is_made_anew_beside(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    place.commit(manifest)
    path = drifted(place, manifest)
    assert place.refused(manifest).failure.code == "release-damaged"
    blob = Path(place.paths.blob(manifest.wheels[0].sha256))
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + b"x")
    anew = place.manifest("1.0.0-aaaaaaaa_2")
    blobs.receive(place.paths, Part(blob.name, 0, len(whole)), whole)
    assert not place.stage(anew, "txn-2").reused
    made = Path(str(path).replace(manifest.id, anew.id))
    assert "edited" not in made.read_text()
    assert "edited" in path.read_text()
    assert blob.read_bytes() == whole
    assert [each.what for each in venv_drift.found(place.paths, anew)] == []


def test_a_release_of_an_earlier_version_of_shipit_is_reused(place: Stage) -> None:
    unit = agent_builders.units(TEXTS)[0]
    manifest = place.manifest(
        units=(replace(unit, command=("/bin/sleep", "1000")),),
        gate=Gate((Check.of("unix", "/run/demo.sock:/healthz"),), 0.25, 10.0, 0.0),
    )
    place.stage(manifest)
    place.commit(manifest)
    path = Path(place.paths.release(manifest.id).manifest)
    written = json.loads(path.read_text())
    for each in written["units"]:
        del each["command"], each["listen"]
    for each in written["gate"]["checks"]:
        for key in ("host", "port", "socket", "url", "command"):
            del each[key]
    path.write_text(json.dumps(written))
    assert place.stage(manifest, txn="txn-2").reused


def test_a_running_release_is_never_removed_to_be_made_anew(place: Stage) -> None:
    manifest = place.manifest()
    place.stage(manifest)
    place.commit(manifest)
    Path(place.paths.release(manifest.id).manifest).write_text("torn")
    assert place.refused(manifest).failure.code == "release-damaged"
    assert Path(place.paths.release(manifest.id).venv).exists()


# --- preflight ---------------------------------------------------------------------------------


def test_all_problems_are_reported_at_once(place: Stage) -> None:
    manifest = replace(place.manifest(), interpreter="/usr/bin/python3.99")
    Path(place.paths.current).mkdir(parents=True)
    failure = place.refused(manifest).failure
    assert "is not a symlink" in failure.what
    assert "python3.99 no longer exists" in failure.what


@pytest.mark.parametrize("name", ["files/../../x", "files//x", "/etc/x", "venv/bin/x", "files"])
def test_a_dest_outside_of_the_release_is_refused(place: Stage, name: str) -> None:
    with pytest.raises(Refused) as caught:
        releases.text_path(place.paths, "r1", name)
    assert caught.value.failure.code == "dest-outside"


def test_a_dest_behind_a_symlink_is_refused(place: Stage) -> None:
    files = Path(place.paths.release("r1").files)
    files.mkdir(parents=True)
    (files / "logs").symlink_to("/etc")
    with pytest.raises(Refused) as caught:
        releases.text_path(place.paths, "r1", "files/logs/x")
    assert "is a symlink" in caught.value.failure.what


def test_a_unit_of_somebody_elses_is_not_overwritten(place: Stage) -> None:
    taken = Path(place.paths.units) / agent_builders.UNIT
    taken.write_text("[Service]\nExecStart=/bin/true\n")
    failure = place.refused(place.manifest()).failure
    assert failure.code == "unit-taken"
    assert str(taken) in failure.what


def test_a_root_of_another_tool_is_not_written_to(place: Stage) -> None:
    manifest, root = place.manifest(), Path(place.paths.root)
    (root / "releases/20240101120000").mkdir(parents=True)
    (root / "current").symlink_to("releases/20240101120000")
    before = sorted(root.rglob("*"))
    for _ in range(2):  # what has been refused once is no more ours than before
        assert place.refused(manifest).failure.code == "root-foreign"
        assert sorted(root.rglob("*")) == before
        assert place.store.load() is None
        assert preflight.survey(place.paths, place.host, Survey(manifest, 0, TEXTS)) != ()


def test_looking_first_changes_nothing(place: Stage) -> None:
    manifest = place.manifest()
    before = sorted(place.folder.rglob("*"))
    assert preflight.survey(place.paths, place.host, Survey(manifest, 0, TEXTS)) == ()
    assert sorted(place.folder.rglob("*")) == before


@pytest.mark.parametrize(("one_disk", "copies"), [(True, 0), (False, 1)])
def test_the_room_for_a_release_counts_copies_only_across_disks(
    place: Stage, *, one_disk: bool, copies: int
) -> None:
    manifest = place.manifest()
    context = preflight.Context(
        place.paths, place.host, manifest, TEXTS, missing=(manifest.app_wheel,)
    )
    var, root = preflight.needs(context, one_disk=one_disk)
    size = manifest.app_wheel.size
    assert var.size == size * (1 + preflight.UNPACKED)
    everything = size + sum(wheel.size for wheel in manifest.wheels)
    assert root.size == copies * everything * preflight.UNPACKED


def test_the_room_for_a_python_of_the_release_is_counted_until_it_is_unpacked(
    place: Stage,
) -> None:
    python = Python("3.13.1", "p.tar.gz", "f" * 64, 7, "bin/python3.13", entries=50, unpacked=900)
    manifest = replace(place.manifest(), python=python)
    named = (place.paths, place.host, manifest, TEXTS)
    context = preflight.Context(*named, missing=(python.archive,))
    own, var, _root = preflight.needs(context, one_disk=True)
    assert (own.path, own.size, own.inodes) == (place.paths.pythons, 1800, 100)
    assert var.size == 7, "the archive; it is not unpacked into uv's cache"
    huge = replace(manifest, python=replace(python, unpacked=1 << 50))
    found = preflight.survey(place.paths, place.host, Survey(huge, 0, TEXTS))
    assert [each.code for each in found] == ["disk-too-small"]


def test_a_python_elsewhere_than_its_digest_says_is_refused(place: Stage) -> None:
    python = Python("3.13.1", "p.tar.gz", "f" * 64, 7, "bin/python3.13", 50, 900)
    assert place.refused(place.manifest(python=python)).failure.code == "bad-request"


def test_a_socket_of_nobody_s_is_refused_before_anything_is_sent(place: Stage) -> None:
    unit = "[Socket]\nListenStream=/run/a.sock\nSocketUser={}\nSocketGroup={}\n"
    texts = {
        "units/a.socket": unit.format("root", "root"),
        "units/b.socket": unit.format("no-such-user", "no-such-group"),
    }
    manifest = place.manifest()
    context = preflight.Context(place.paths, place.host, manifest, texts)
    found = [(p.code, p.what) for p in preflight.problems(context) if "give a socket" in p.what]
    assert found == [
        ("no-user", "there is no user no-such-user to give a socket to"),
        ("no-group", "there is no group no-such-group to give a socket to"),
    ]


def hook(user: str) -> Hook:
    return Hook("warm", "staged", ("demoapp",), 1.0, user, "/")


def test_a_hook_of_a_user_who_does_not_exist_is_a_problem(place: Stage) -> None:
    wanted = place.manifest(hooks=(hook("no-such-user"), hook("root")))
    (found,) = preflight.survey(place.paths, place.host, Survey(wanted, 0, TEXTS))
    assert (found.code, found.what) == (
        "no-user",
        "there is no user no-such-user, as whom a hook runs",
    )


def test_a_migration_of_a_user_who_does_not_exist_is_a_problem(place: Stage) -> None:
    wanted = place.manifest(migration=Migration(hook("no-such-user")))
    (found,) = preflight.survey(place.paths, place.host, Survey(wanted, 0, TEXTS))
    assert found.code == "no-user"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"smoke": ("demoapp",)}, "the smoke command cannot be run"),
        (
            {"gate": Gate((Check.of("command", "demoapp"),), 0.25, 10.0, 0.0)},
            "a command check or a hook cannot",
        ),
        ({"hooks": (hook("root"),)}, "a command check or a hook cannot"),
        ({"migration": Migration(hook("root"))}, "a command check or a hook cannot"),
        ({"assets": Assets(3, command=hook("root"))}, "a command check or a hook cannot"),
        ({"gate": Gate((Check.of("tcp", "127.0.0.1:1"),), 0.25, 10.0, 0.0)}, ""),
    ],
)
def test_a_host_without_a_system_bus_runs_no_command_of_an_app(
    place: Stage, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(preflight, "SYSTEM_BUS", str(place.folder / "no-bus"))
    found = preflight.survey(place.paths, place.host, Survey(place.manifest(**asked), 0, TEXTS))
    assert [each.code for each in found] == ["no-system-bus"] * bool(says)
    assert says in "".join(each.what for each in found)
    assert all("apt-get install dbus" in each.hint for each in found)


# --- static files ------------------------------------------------------------------------------


def test_what_lies_where_clients_would_find_static_files_is_not_replaced(place: Stage) -> None:
    Path(place.paths.assets).mkdir(parents=True)
    found = [
        problem.code
        for assets in (None, Assets(3, "files/static"))
        for problem in preflight.problems(
            preflight.Context(place.paths, place.host, place.manifest(assets=assets), TEXTS)
        )
        if problem.code == "assets-taken"
    ]
    assert found == ["assets-taken"]  # only of the release that has some


# --- unix sockets ------------------------------------------------------------------------------


def socket_problems(place: Stage, path: str, service: str) -> list[str]:
    texts = {"units/demo-web.socket": f"[Socket]\nListenStream={path}\n"}
    texts["units/demo-web.service"] = service
    manifest = place.manifest(units=agent_builders.units(texts))
    context = preflight.Context(place.paths, place.host, manifest, texts)
    found = preflight.problems(context)
    return [each.what for each in found if each.code == "socket-untrusted"]


@pytest.mark.parametrize(
    ("owner", "mode"), [("nobody", 0o755), ("root", 0o775), ("root", 0o777), ("root", 0o1777)]
)
def test_a_socket_in_a_folder_of_others_is_refused(place: Stage, owner: str, mode: int) -> None:
    """A link in its place would have systemd give away what it leads to: /etc/shadow."""
    folder = place.folder / "sockets"
    folder.mkdir()
    shutil.chown(folder, owner)
    folder.chmod(mode)
    (what,) = socket_problems(place, f"{folder}/web.sock", "[Service]\nUser=nobody\n")
    assert str(folder) in what


@pytest.mark.parametrize("folder", ["/run/demo-web", "/run/demo-web/deeper"])
def test_a_socket_in_a_folder_that_the_service_will_own_is_refused(
    place: Stage, folder: str
) -> None:
    service = "[Service]\nUser={}\nRuntimeDirectory=demo-web\n"
    (what,) = socket_problems(place, f"{folder}/x.sock", service.format("nobody"))
    assert "RuntimeDirectory=demo-web" in what
    assert socket_problems(place, f"{folder}/x.sock", service.format("root")) == []
    assert socket_problems(place, "/run/demo-web.sock", service.format("nobody")) == []


def test_a_socket_in_shared_is_refused_before_that_is_there(place: Stage) -> None:
    path, service = f"{place.paths.shared}/web.sock", "[Service]\n"
    texts = {
        "units/demo-web.socket": f"[Socket]\nListenStream={path}\n",
        "units/w.service": service,
    }
    manifest = place.manifest(user="nobody", units=agent_builders.units(texts))
    context = preflight.Context(place.paths, place.host, manifest, texts)
    assert "socket-untrusted" in [each.code for each in preflight.problems(context)]


def test_what_is_not_signed_begins_nothing(place: Stage, tmp_path: Path) -> None:
    place.paths = replace(place.paths, signers=str(tmp_path / "signers"))
    key, manifest = Key.make(tmp_path), place.manifest()
    listed = [vars(Listed(i.filename, i.sha256, i.size)) for i in manifest.artifacts()]
    target = ForTarget(tuple(i.sha256 for i in manifest.wheels), manifest.installer_wheel.sha256)
    app = manifest.app_wheel
    made = {"name": app.name, "version": app.version, "app": app.sha256, "artifacts": listed}
    text = json.dumps({**made, "targets": [vars(target)]})
    signed = Signed(text, key.signature(text))
    Path(place.paths.signers).write_text("")
    before = sorted(Path(place.paths.var).rglob("*"))
    for without in (None, signed):
        with pytest.raises(Refused):
            place.stage(manifest, signed=without)
        assert place.store.load() is None
        assert sorted(Path(place.paths.var).rglob("*")) == before
        assert not Path(place.paths.root).exists()
    Path(place.paths.signers).write_text(key.line("alice@example.com"))
    place.stage(manifest, signed=signed)
    assert StepBegan("signature", "by alice@example.com") in place.said
    opened = place.store.load()
    assert opened is not None
    assert opened.signed_by == "alice@example.com"
    place.commit(manifest)
    with pytest.raises(Refused, match="not signed"):  # nor is it deployed again
        place.stage(manifest, "txn-2")
