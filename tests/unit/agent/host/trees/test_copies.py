"""What of a directory that another user has filled becomes root's, and what is refused."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from marks import needs_root
from shipit.agent.host.trees import copies, pinned
from shipit.agent.system.failures import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, ALIEN = 61001, 61003

pytestmark = needs_root


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Give a directory that the user has filled with two files."""
    top = tmp_path / "assets"
    (top / "js").mkdir(parents=True)
    for name in ("site.css", "js/app.js"):
        (top / name).write_text(name)
        (top / name).chmod(0o4640)
        os.utime(top / name, ns=(1, 1_000_000_007))
        os.chown(top / name, USER, USER)
    for folder in (top, top / "js"):
        os.chown(folder, USER, USER)
        folder.chmod(0o2777)
    return top


def refusal(source: Path, target: Path) -> list[str]:
    with pytest.raises(Refused) as refused:
        copies.copy(str(source), str(target), USER)
    assert refused.value.failure.code == "assets-refused"
    assert not target.exists() or target == source
    assert [path.name for path in source.parent.glob("*.new")] == []
    return refused.value.failure.evidence.splitlines()


def test_a_copy_is_root_s_and_readable_by_all_and_keeps_the_times(made: Path) -> None:
    copies.copy(str(made), str(made), USER)
    seen = {
        str(path.relative_to(made)): (path.stat().st_uid, oct(path.stat().st_mode))
        for path in made.rglob("*")
    }
    files, folders = (0, "0o100644"), (0, "0o40755")
    assert seen == {"site.css": files, "js/app.js": files, "js": folders}
    assert (made.stat().st_uid, made.stat().st_mode & 0o7777) == (0, 0o755)
    assert (made / "site.css").stat().st_mtime_ns == 1_000_000_007


def test_what_its_maker_has_open_is_not_what_clients_get(made: Path) -> None:
    with (made / "site.css").open("a") as stream:
        copies.copy(str(made), str(made), USER)
        stream.write(" changed")
    assert (made / "site.css").read_text() == "site.css"


def test_everything_else_than_plain_files_of_the_user_is_refused_together(
    made: Path, tmp_path: Path
) -> None:
    (made / "link").symlink_to("/etc/shadow")
    (made / "js/out").symlink_to(tmp_path)
    os.mkfifo(made / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(made / "socket"))
    os.mknod(made / "device", 0o020666, os.makedev(1, 3))
    secret = tmp_path / "secret"
    secret.write_text("secret")
    os.link(secret, made / "foreign")
    (made / "line\nbreak").write_text("")
    (made / "two").write_text("")
    os.link(made / "two", made / "second")
    for path in made.rglob("*"):
        if path.name != "foreign":
            os.chown(path, USER, USER, follow_symlinks=False)
    target = tmp_path / "target"
    assert sorted(refusal(made, target)) == [
        "'device' is neither a file nor a directory",
        f"'foreign' belongs to the user {os.getuid()}",
        "'js/out' is a symlink",
        r"'line\nbreak' has a name that cannot be printed",
        "'link' is a symlink",
        "'pipe' is neither a file nor a directory",
        "'second' is a hard link",
        "'socket' is neither a file nor a directory",
        "'two' is a hard link",
    ]
    assert secret.stat().st_mode & 0o777 == 0o644


def test_a_directory_that_is_a_link_is_not_entered(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(made)
    with pytest.raises(OSError, match="link"):
        copies.copy(str(link), str(tmp_path / "target"), USER)


def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_followed(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = pinned.names

    def swapped(folder: int) -> Iterator[str]:
        for name in list(names(folder)):
            if name == "site.css":
                (made / name).unlink()
                (made / name).symlink_to("/etc/shadow")
                os.lchown(made / name, USER, USER)
            yield name

    monkeypatch.setattr(pinned, "names", swapped)
    assert refusal(made, tmp_path / "target") == ["'site.css' is a symlink"]


def test_a_file_that_is_removed_meanwhile_is_left_out(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = pinned.names
    monkeypatch.setattr(pinned, "names", lambda folder: [*names(folder), "gone.js"])
    copies.copy(str(made), str(made), USER)
    assert sorted(path.name for path in made.iterdir()) == ["js", "site.css"]


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [("ENTRIES", 2, "more than 2 files"), ("SIZE", 10, "GiB"), ("DEPTH", 1, "more than 1 nested")],
)
def test_too_much_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, said: str
) -> None:
    monkeypatch.setattr(copies, limit, value)
    assert said in refusal(made, tmp_path / "target")[0]


def test_files_of_root_may_have_several_names_as_those_of_a_venv_have(tmp_path: Path) -> None:
    source = tmp_path / "package"
    source.mkdir()
    (source / "app.js").write_text("app")
    os.link(source / "app.js", tmp_path / "in-the-cache")
    copies.copy(str(source), str(tmp_path / "target"), os.geteuid())
    assert (tmp_path / "target/app.js").stat().st_nlink == 1
