"""Pythons that come with a release: archives of the playbook, or builds that uv fetches.

uv is the real one; its mirror is a folder.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import pytest

import relocatable
import wheelhouse
from shipit.errors import InputError, Mistake
from shipit.playbook.project import Python, PythonArchive
from shipit.project import interpreters
from shipit.project.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.bundle.interpreter import Interpreters

MACHINE, LIBC = platform.machine(), ("glibc", 2, 36)
MINOR = tuple(int(part) for part in relocatable.VERSION.split(".")[:2])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return relocatable.write(tmp_path_factory.mktemp("mirror") / "20300101")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")


def loaded(
    version: str = "", archives: tuple[PythonArchive, ...] = (), notes: list[str] | None = None
) -> Interpreters:
    wanted = Python.model_construct(version=version, source="bundle", archives=archives)
    said: list[str] = [] if notes is None else notes
    return interpreters.load(wanted, said.append)


def refused(call: Callable[[], object]) -> Mistake:
    with pytest.raises(InputError) as caught:
        call()
    (mistake,) = caught.value.mistakes
    return mistake


def named(path: Path, sha256: str = "") -> PythonArchive:
    return PythonArchive.model_construct(path=path, sha256=sha256 or wheelhouse.sha256(path))


# --- archives of the playbook --------------------------------------------------------------------


def test_the_archive_for_a_kind_of_host_is_chosen(archive: Path, store: Cache) -> None:
    found = loaded("~=3.8", (named(archive),))
    best = found.best(MACHINE, LIBC)
    assert (best.path, best.version) == (archive, relocatable.VERSION)
    assert found.best(MACHINE, LIBC, MINOR) == best  # type: ignore[arg-type]
    assert found.digests() == (wheelhouse.sha256(archive),)


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("", ("riscv64", LIBC)),
        ("", (MACHINE, ("musl", 1, 2))),
        ("", (MACHINE, LIBC, (3, 99))),
        ("<3", (MACHINE, LIBC)),
    ],
)
def test_where_none_is_for_a_host_it_is_named_what_there_is(
    archive: Path, store: Cache, version: str, asked: tuple[Any, ...]
) -> None:
    mistake = refused(lambda: loaded(version, (named(archive),)).best(*asked))
    assert mistake.code == "no-such-python"
    assert f"{relocatable.VERSION} on {MACHINE} with glibc" in mistake.what


def test_an_archive_with_another_digest_is_refused(archive: Path, store: Cache) -> None:
    mistake = refused(lambda: loaded("", (named(archive, "0" * 64),)))
    assert (mistake.code, "expected sha256:000" in mistake.what) == ("wrong-hash", True)
    gone = archive.with_name("gone.tar.gz")
    assert refused(lambda: loaded("", (named(gone, "0" * 64),))).code == "missing-interpreter"


def test_what_an_archive_is_is_read_once(
    archive: Path, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaded("", (named(archive),)).best(MACHINE, LIBC)
    with monkeypatch.context() as patched:
        patched.delattr(interpreters, "open_archive")
        assert loaded("", (named(archive),)).best(MACHINE, LIBC) == first


# --- builds that uv knows ------------------------------------------------------------------------


def listed(monkeypatch: pytest.MonkeyPatch, folder: Path, archive: Path, **changes: object) -> None:
    for name, value in relocatable.mirror(folder, archive, **changes).items():
        monkeypatch.setenv(name, value)


def test_uv_fetches_the_newest_build_and_the_archive_is_kept_as_it_was_published(
    archive: Path, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, tmp_path, archive)
    notes: list[str] = []
    found = loaded(">=3.8", notes=notes)
    assert found.digests() == ()
    best = found.best(MACHINE, LIBC)
    assert best.path.read_bytes() == archive.read_bytes()
    assert (best.version, best.path.name) == (relocatable.VERSION, archive.name)
    assert notes == [f"fetched {archive.name}"]
    with monkeypatch.context() as patched:
        patched.delattr(interpreters, "Program")
        assert found.best(MACHINE, LIBC) == best, "uv is asked once for each kind of host"
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "file:///nowhere")
    assert loaded(">=3.8", notes=notes).best(MACHINE, LIBC) == best, "from the cache"
    assert loaded().digests() == (best.sha256,)
    assert len(notes) == 1


def test_a_build_that_uv_does_not_know_is_a_mistake(
    archive: Path, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, tmp_path, archive)
    mistake = refused(lambda: loaded(">=3.99").best(MACHINE, LIBC))
    assert (mistake.code, f">=3.99 for {MACHINE} with glibc" in mistake.what) == (
        "no-such-python",
        True,
    )


def test_another_file_than_uv_knows_is_refused(
    archive: Path, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, tmp_path, archive, sha256="0" * 64)
    mistake = refused(lambda: loaded().best(MACHINE, LIBC))
    assert (mistake.code, "hash" in mistake.evidence.lower()) == ("fetch-failed", True)
    assert store.digests([""]) == []
    assert loaded().digests() == ()


def test_a_build_without_a_digest_is_refused(
    archive: Path, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, tmp_path, archive, sha256=None)
    assert refused(lambda: loaded().best(MACHINE, LIBC)).code == "interpreter-unpinned"


def test_a_mirror_that_has_nothing_is_reported(
    archive: Path, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, tmp_path, archive)
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", (tmp_path / "empty").as_uri())
    mistake = refused(lambda: loaded().best(MACHINE, LIBC))
    assert (mistake.code, "UV_PYTHON_INSTALL_MIRROR" in mistake.hint) == ("fetch-failed", True)


@pytest.mark.parametrize(
    ("asked", "is_known"),
    [
        (("aarch64", LIBC), True),
        (("aarch64", ("musl", 1, 2)), True),
        (("armv7l", LIBC), True),
        (("ppc64le", LIBC), True),
        (("riscv64", LIBC), True),
        (("s390x", LIBC), True),
        (("armv7l", ("musl", 1, 2)), False),
        (("x86_64", ("bionic", 2, 36)), False),
    ],
)
def test_uvs_names_of_processors_are_known(
    store: Cache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[Any, ...],
    *,
    is_known: bool,
) -> None:
    """The list is uv's own; nothing is fetched."""
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", tmp_path.as_uri())
    mistake = refused(lambda: loaded("~=3.13.0").best(*asked))
    assert mistake.code == ("fetch-failed" if is_known else "no-such-python")


def test_a_build_that_is_no_tar_gz_is_not_taken(
    store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some old builds that uv knows are .tar.zst."""
    other = tmp_path / "20300101" / relocatable.NAME.replace(".tar.gz", ".tar.zst")
    other.parent.mkdir()
    other.write_bytes(b"zst")
    listed(monkeypatch, tmp_path, other)
    assert refused(lambda: loaded().best(MACHINE, LIBC)).code == "no-such-python"
