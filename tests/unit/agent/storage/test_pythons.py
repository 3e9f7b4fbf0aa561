"""An interpreter is unpacked once, used by all, and never believed after it was touched."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agent_builders
import relocatable
from patience import until
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.manifest import Manifest, Python
from shipit.agent.protocol.messages import Part
from shipit.agent.records import history, registry
from shipit.agent.records.history import Entry
from shipit.agent.storage import blobs, prune, python_archive, pythons, venv_drift
from shipit.agent.system import failures, files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_AGO, NOW = 1.0, 1_000_000.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relocatable.write(tmp_path_factory.mktemp("archive"))


def described(archive: Path, **changes: Any) -> Python:  # noqa: ANN401
    """Return what a manifest says of an archive."""
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    content = archive.read_bytes()
    digest, size = hashlib.sha256(content).hexdigest(), sum(each.size for each in members)
    file = (archive.name, digest, len(content))
    limits = (2 * len(members), size)  # with the folders that have no entry
    return replace(Python(relocatable.VERSION, *file, relocatable.PROGRAM, *limits), **changes)


def receive(paths: Paths, archive: Path) -> None:
    blobs.prepare(paths)
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    blobs.receive(paths, Part(digest, 0, len(content)), content)


def unpacked(paths: Paths, archive: Path) -> Python:
    receive(paths, archive)
    python = described(archive)
    pythons.unpack(paths, python)
    return python


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    places = {name: str(tmp_path / name) for name in ("var", "units")}
    (tmp_path / "units").mkdir()
    return Paths("demo", str(tmp_path / "opt"), **places)


def refused(paths: Paths, archive: Path, **changes: Any) -> Refused:  # noqa: ANN401
    receive(paths, archive)
    with pytest.raises(Refused) as caught:
        pythons.unpack(paths, described(archive, **changes))
    assert files.entries(paths.pythons) == [], "nothing of it is left"
    return caught.value


def made(folder: Path, *entries: dict[str, Any]) -> Path:
    """Write an archive of these entries."""
    folder.mkdir()
    path = folder / "cpython-3.11.2-x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            relocatable.add(archive, **entry)
    return path


# --- unpacking -----------------------------------------------------------------------------------


def test_it_runs_from_where_it_lies_with_bytecode_and_is_roots(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    program = python.path(paths.pythons)
    where = subprocess.run(
        [
            program,
            "-I",
            "-S",
            "-c",
            "import json,sys;print(sys.prefix,json.__file__,json.__cached__)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    top = paths.python(python.sha256)
    prefix, module, cached = where.stdout.split()
    assert (prefix, Path(cached).exists()) == (top, True)
    assert module.startswith(top)
    for entry in files.below(top):
        status = entry.stat(follow_symlinks=False)
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
        assert entry.is_symlink() or stat.S_IMODE(status.st_mode) in (0o755, 0o644)
    assert pythons.is_sound(paths, python.sha256)
    assert pythons.needed(paths, _manifest(paths, python)) == _manifest(paths, python).artifacts()


def _manifest(paths: Paths, python: Python | None) -> Manifest:
    wheel = Path(paths.var).parent / "wheels" / "demo-1-py3-none-any.whl"
    wheel.parent.mkdir(exist_ok=True)
    wheel.touch()
    made = agent_builders.manifest(paths, agent_builders.Bundle(wheel, wheel, ()), texts={})
    return replace(made, python=python)


def test_a_second_app_finds_it_and_needs_no_archive(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    Path(paths.blob(python.sha256)).unlink()
    before = Path(python.path(paths.pythons)).stat()
    pythons.unpack(Paths("other", "/nowhere", paths.var), python)
    assert Path(python.path(paths.pythons)).stat().st_ino == before.st_ino
    assert pythons.present(paths, ["0" * 64, python.sha256, "../etc"]) == (python.sha256,)


def test_two_apps_that_deploy_at_once_unpack_it_once(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(paths, archive)
    python, calls = described(archive), list[str]()
    real = python_archive.unpack

    def counted(*given: Any) -> Any:  # noqa: ANN401
        calls.append("unpack")
        return real(*given)

    monkeypatch.setattr(python_archive, "unpack", counted)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: pythons.unpack(paths, python), range(2)))
    assert calls == ["unpack"]
    assert pythons.is_sound(paths, python.sha256)


def test_a_new_one_is_not_compared_again(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    assert pythons.is_untouched(paths, python.sha256)
    pythons.unpack(paths, python)  # a second app's deploy
    assert pythons.is_untouched(paths, python.sha256)


def test_one_is_compared_while_another_app_unpacks_its_own(
    paths: Paths, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, began, over = unpacked(paths, archive), tmp_path / "began", tmp_path / "over"
    script = f"#!/bin/sh\ntouch {began}\nuntil [ -e {over} ]; do sleep 0.01; done\n"
    entry = {"name": "p/" + relocatable.PROGRAM, "content": script.encode(), "mode": 0o755}
    others = made(tmp_path / "made", entry)
    receive(paths, others)
    Path(paths.python(python.sha256), "BUILD").touch()
    monkeypatch.setattr(pythons, "WAIT", 0.0)
    with ThreadPoolExecutor(1) as pool:
        unpacking = pool.submit(pythons.unpack, paths, described(others))
        try:
            until(began.exists, lambda: "", 20.0)
            assert pythons.differences(paths, python.sha256) == []
            with pytest.raises(Refused) as caught:
                pythons.unpack(paths, described(archive, sha256="0" * 64))
            assert caught.value.failure.code == "cache-locked"
        finally:
            over.touch()
        assert isinstance(unpacking.exception(), Refused), "it is no Python"


def test_one_that_is_being_replaced_for_long_is_not_called_damaged(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = unpacked(paths, archive)
    Path(paths.python(python.sha256), "BUILD").touch()
    monkeypatch.setattr(pythons, "WAIT", 0.0)
    with files.lock(paths.python_lock), pytest.raises(Refused) as caught:
        list(venv_drift.brought(paths, _manifest(paths, python)))
    assert caught.value.failure.code == "cache-locked"
    assert pythons.is_sound(paths, python.sha256)


def test_what_an_archive_says_of_owners_and_modes_counts_for_nothing(tmp_path: Path) -> None:
    archive = made(
        tmp_path / "made",
        {"name": "p/bin/python3.11", "content": b"#!", "mode": 0o6777, "uid": 1000, "gid": 1000},
        {"name": "p/lib/a.py", "content": b"x", "mode": 0o666},
        {"name": "p/open", "type": tarfile.DIRTYPE, "mode": 0o1777},
        {"name": "p/twin", "type": tarfile.LNKTYPE, "linkname": "p/lib/a.py", "mode": 0o644},
    )
    entries = python_archive.unpack(
        str(archive), str(tmp_path / "out"), described(archive, unpacked=9)
    )
    states = {path: os.lstat(tmp_path / "out" / path) for path in entries}
    modes = {path: f"{stat.S_IMODE(status.st_mode):o}" for path, status in states.items()}
    assert modes == {
        "bin": "755",
        "bin/python3.11": "755",
        "lib": "755",
        "lib/a.py": "644",
        "open": "755",
        "twin": "644",
    }
    assert {status.st_uid for status in states.values()} == {os.geteuid()}
    assert {s.st_nlink for s in states.values() if stat.S_ISREG(s.st_mode)} == {1}


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "p/../../escaped", "content": b"x"},
        {"name": "p/out", "type": tarfile.SYMTYPE, "linkname": "../.."},
        {"name": "p/device", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3},
    ],
    ids=["dots", "link", "device"],
)
def test_an_unsafe_archive_is_refused_and_leaves_nothing(
    paths: Paths, tmp_path: Path, entry: dict[str, Any]
) -> None:
    archive = made(tmp_path / "made", {"name": "p/bin/python3.11", "content": b"x"}, entry)
    found = refused(paths, archive).failure
    assert (found.code, archive.name in found.what) == ("interpreter-broken", True)
    assert not (Path(paths.pythons).parent / "escaped").exists()


NAMES = st.sampled_from(["a", "b", "c", "..", ".", ""])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


def tar_of(folder: Path, entries: list[tuple[str, bytes, str]]) -> Path:
    path = folder / "some.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, target in entries:
            linked = f"p/{target}" if kind == tarfile.LNKTYPE else target
            relocatable.add(archive, f"p/{name}", type=kind, linkname=linked)
    return path


@settings(max_examples=int(os.environ.get("FUZZ_ARCHIVES", "300")), deadline=None)
@given(entries=st.lists(st.tuples(PATHS, KINDS, PATHS), min_size=1, max_size=7))
def test_whatever_an_archive_says_nothing_leads_out_of_its_folder(
    entries: list[tuple[str, bytes, str]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = tar_of(folder, entries)
        described_as = Python("3.11.2", archive.name, "0" * 64, 1, "bin/python3.11", 99, 99)
        top = folder / "top" / "out"
        top.parent.mkdir()
        with suppress(Refused):
            kept = python_archive.unpack(str(archive), str(top), described_as)
            for path in kept:
                real = os.path.realpath(top / path)  # of a loop as well
                assert Path(real).is_relative_to(top.resolve())
        assert {each.name for each in folder.iterdir()} == {"some.tar.gz", "top"}
        assert {each.name for each in top.parent.iterdir()} <= {"out"}


def test_an_archive_with_more_than_was_declared_is_refused(paths: Paths, archive: Path) -> None:
    assert refused(paths, archive, unpacked=1000).failure.code == "interpreter-broken"
    assert refused(paths, archive, entries=10).failure.code == "interpreter-broken"


def test_one_that_does_not_run_here_is_refused_with_what_it_said(
    paths: Paths, tmp_path: Path
) -> None:
    script = b"#!/bin/sh\necho 'version GLIBC_9.9 not found' >&2\nexit 1\n"
    entry = {"name": "p/" + relocatable.PROGRAM, "content": script, "mode": 0o755}
    found = refused(paths, made(tmp_path / "made", entry)).failure
    assert (found.code, "GLIBC_9.9" in found.evidence) == ("interpreter-broken", True)
    assert "libc" in found.hint


def test_one_for_another_processor_is_refused(paths: Paths, tmp_path: Path) -> None:
    entry = {"name": "p/" + relocatable.PROGRAM, "content": b"\x7fELF" + bytes(60), "mode": 0o755}
    found = refused(paths, made(tmp_path / "made", entry)).failure
    assert (found.code, "Exec format error" in found.what) == ("interpreter-broken", True)


def test_a_disk_on_which_nothing_may_run_is_reported_as_that(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(argv: list[str], **_: object) -> None:
        raise PermissionError(errno.EACCES, "denied", argv[0])

    receive(paths, archive)
    monkeypatch.setattr(pythons, "run", denied)
    monkeypatch.setattr(failures, "is_noexec", lambda _: True)
    with pytest.raises(PermissionError) as caught:
        pythons.unpack(paths, described(archive))
    assert failures.from_os_error(caught.value, "build").code == "noexec"


def test_another_version_than_the_manifests_is_refused(paths: Paths, archive: Path) -> None:
    found = refused(paths, archive, version="3.99.1").failure
    assert f"is Python {relocatable.VERSION}; expected 3.99.1" in found.what


def test_a_damaged_blob_is_refused_and_removed(paths: Paths, archive: Path) -> None:
    receive(paths, archive)
    python = described(archive)
    blobs.verify(paths, [python.archive])
    with Path(paths.blob(python.sha256)).open("r+b") as blob:
        blob.write(b"x")
    with pytest.raises(Refused) as caught:
        pythons.unpack(paths, python)
    assert caught.value.failure.code == "blob-corrupt"
    assert not Path(paths.blob(python.sha256)).exists()


STEPS = ["sync_filesystem", "sync_directory", "write"]


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_call_leaves_nothing_that_is_believed(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    receive(paths, archive)
    python = described(archive)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, step, killed)
        patched.setattr(files, "remove", lambda _: None)  # nothing is tidied up either
        with pytest.raises(KeyboardInterrupt):
            pythons.unpack(paths, python)
    assert pythons.present(paths, [python.sha256]) == ()
    pythons.unpack(paths, python)
    assert pythons.is_sound(paths, python.sha256)


def test_a_folder_of_another_user_is_refused(paths: Paths, archive: Path) -> None:
    Path(paths.pythons).mkdir()
    Path(paths.pythons).chmod(0o777)
    receive(paths, archive)
    with pytest.raises(Refused) as caught:
        pythons.unpack(paths, described(archive))
    assert caught.value.failure.code == "store-not-ours"


# --- drift ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda top: (top / "lib" / relocatable.SHORT / "os.py").write_text("x"), "was changed"),
        (lambda top: (top / relocatable.PROGRAM).chmod(0o700), "was changed"),
        (lambda top: (top / relocatable.PROGRAM).chmod(0o777), "can be changed by others"),
        (lambda top: (top / "lib" / "new.pth").touch(), "was added"),
        (lambda top: (top / "bin/python3").unlink(), "is missing"),
        (
            lambda top: (top / "bin/python3").unlink() or (top / "bin/python3").symlink_to("x"),
            "was",
        ),
    ],
)
def test_a_touched_one_is_drift_is_not_used_and_is_unpacked_anew(
    paths: Paths, archive: Path, change: Callable[[Path], object], said: str
) -> None:
    python = unpacked(paths, archive)
    Path(paths.blob(python.sha256)).unlink()
    change(Path(paths.python(python.sha256)))
    found, *_ = venv_drift.brought(paths, _manifest(paths, python))
    assert (found.code, found.path) == ("interpreter-changed", paths.python(python.sha256))
    assert said in found.what
    assert pythons.present(paths, [python.sha256]) == (), "it has to be sent again"
    assert python.archive in pythons.needed(paths, _manifest(paths, python))
    unpacked(paths, archive)
    assert list(venv_drift.brought(paths, _manifest(paths, python), is_whole=True)) == []


def test_every_look_says_how_it_differs_until_it_is_as_it_was(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    module = Path(paths.python(python.sha256), "lib", relocatable.SHORT, "os.py")
    before = module.read_bytes()
    module.write_text("x")
    for _ in range(3):
        assert pythons.present(paths, [python.sha256]) == ()
        assert pythons.differences(paths, python.sha256) == [f"{module} was changed"]
    module.write_bytes(before)
    assert pythons.differences(paths, python.sha256) == []
    assert pythons.present(paths, [python.sha256]) == (python.sha256,)


def test_what_marks_a_damaged_one_goes_with_the_damage(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    Path(paths.python(python.sha256), "BUILD").unlink()
    assert pythons.present(paths, [python.sha256]) == ()
    assert Path(paths.python_damaged(python.sha256)).exists()
    unpacked(paths, archive)
    assert not Path(paths.python_damaged(python.sha256)).exists()
    Path(paths.python(python.sha256), "BUILD").unlink()
    assert pythons.present(paths, [python.sha256]) == ()
    for path in (paths.python(python.sha256), paths.python_damaged(python.sha256)):
        os.utime(path, (LONG_AGO, LONG_AGO))
    prune.delete_unused(paths, NOW)
    assert files.entries(paths.pythons) == []


def test_a_damaged_one_that_cannot_be_marked_is_unpacked_anew(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = unpacked(paths, archive)
    build = Path(paths.python(python.sha256), "BUILD")
    build.write_text("other")

    def unless_a_record(call: Callable[..., None]) -> Callable[..., None]:
        def refusing(path: str, *rest: Any, **more: Any) -> None:  # noqa: ANN401
            if path == paths.python_record(python.sha256):
                raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
            call(path, *rest, **more)

        return refusing

    for name in ("unlink", "replace"):
        monkeypatch.setattr(os, name, unless_a_record(getattr(os, name)))
    pythons.unpack(paths, python)
    assert build.read_text() == ""
    assert pythons.is_sound(paths, python.sha256)


def test_an_archive_may_have_bytecode(paths: Paths, tmp_path: Path) -> None:
    archive = relocatable.write(tmp_path, bytecode=b"of another time")
    python = unpacked(paths, archive)
    assert pythons.differences(paths, python.sha256) == []


def test_bytecode_and_a_mere_touch_are_no_drift(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    top = Path(paths.python(python.sha256))
    (top / "lib" / "__pycache__").mkdir()
    (top / "BUILD").touch()
    assert not pythons.is_untouched(paths, python.sha256)
    assert list(venv_drift.brought(paths, _manifest(paths, python))) == []

    def is_known() -> bool:
        return pythons.is_untouched(paths, python.sha256) or not pythons.differences(
            paths, python.sha256
        )

    until(lambda: is_known() and pythons.is_untouched(paths, python.sha256), lambda: "", 10.0)


def test_a_change_with_an_old_time_is_seen_by_who_reads_all_bytes(
    paths: Paths, archive: Path
) -> None:
    python = unpacked(paths, archive)
    Path(paths.python(python.sha256), "BUILD").write_text("other")
    files.touch(paths.python_record(python.sha256))  # as if it had been verified since
    assert list(venv_drift.brought(paths, _manifest(paths, python))) == []
    assert len(list(venv_drift.brought(paths, _manifest(paths, python), is_whole=True))) == 1


# --- removing ------------------------------------------------------------------------------------


def aged(paths: Paths, python: Python) -> None:
    for path in (paths.python(python.sha256), paths.python_record(python.sha256)):
        os.utime(path, (LONG_AGO, LONG_AGO))


def is_there(paths: Paths, python: Python) -> bool:
    return Path(python.path(paths.pythons)).exists()


def write_release(paths: Paths, python: Python | None) -> None:
    path = Path(paths.release("1.0.0-aaaaaaaa").manifest)
    path.parent.mkdir(parents=True)
    made = _manifest(paths, python)
    path.write_text(agent_builders.manifests_json(made))


def test_one_that_no_release_needs_is_removed_once_it_is_old(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    prune.delete_unused(paths, Path(paths.python_record(python.sha256)).stat().st_mtime)
    assert is_there(paths, python), "a release with it may be in the making"
    aged(paths, python)
    prune.delete_unused(paths, NOW)
    assert files.entries(paths.pythons) == []


def test_one_that_a_release_of_another_app_needs_stays(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    aged(paths, python)
    other = Paths("other", paths.root + "2", paths.var, paths.units)
    write_release(other, python)
    registry.note_committed(other, "1.0.0-aaaaaaaa")
    prune.delete_unused(paths, NOW)
    assert is_there(paths, python)


@pytest.mark.parametrize("reason", ["unmounted", "unreadable", "open transaction"])
def test_none_is_removed_while_it_is_not_known_who_needs_it(
    paths: Paths, archive: Path, reason: str
) -> None:
    python = unpacked(paths, archive)
    aged(paths, python)
    other = Paths("other", paths.root + "2", paths.var, paths.units)
    if reason == "unmounted":
        registry.note_committed(other, "1.0.0-aaaaaaaa")
    elif reason == "unreadable":
        write_release(paths, None)
        Path(paths.release("1.0.0-aaaaaaaa").manifest).write_text("{")
        committed(paths, "1.0.0-aaaaaaaa")
    else:
        Path(other.boot_unit).touch()
    prune.delete_unused(paths, NOW)
    assert is_there(paths, python)


def committed(paths: Paths, release: str) -> None:
    line = Entry("t1", "deploy", release, "1", "", Result.COMMITTED, "", "", "", "")
    history.append(paths, line)


def test_a_folder_of_another_tool_keeps_nothing(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    aged(paths, python)
    Path(paths.release("20240101").top, "lib").mkdir(parents=True)
    committed(paths, "gone-aaaaaaaa")
    prune.delete_unused(paths, NOW)
    assert not is_there(paths, python)


def test_one_that_a_process_runs_stays(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    aged(paths, python)
    running = subprocess.Popen(
        [python.path(paths.pythons), "-I", "-S", "-c", "print(1, flush=True);input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with running:
        assert running.stdout is not None
        running.stdout.readline()
        prune.delete_unused(paths, NOW)
        assert is_there(paths, python)
        running.communicate(b"\n")
    prune.delete_unused(paths, NOW)
    assert not is_there(paths, python)


def test_what_a_killed_call_has_left_is_removed(paths: Paths, archive: Path) -> None:
    python = unpacked(paths, archive)
    left = Path(paths.pythons, f"{pythons.UNFINISHED}77", "bin")
    left.mkdir(parents=True)
    others = Path(paths.pythons, "README")
    others.touch()
    os.utime(others, (LONG_AGO, LONG_AGO))
    prune.delete_unused(paths, NOW)
    assert not left.parent.exists()
    assert (is_there(paths, python), others.exists()) == (True, True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 2, "entries": {}}'])
def test_a_record_that_cannot_be_read_makes_it_incomplete(
    paths: Paths, archive: Path, text: str
) -> None:
    python = unpacked(paths, archive)
    Path(paths.python_record(python.sha256)).write_text(text)
    (found,) = pythons.differences(paths, python.sha256)
    assert found.endswith("is not complete")
    pythons.unpack(paths, python)
    assert pythons.differences(paths, python.sha256) == []
