"""Root uses a path only where nobody else can change what is found there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from marks import needs_root
from shipit.agent.server import server
from shipit.agent.system import trust
from shipit.agent.system.failures import Refused
from shipit.agent.system.trust import Entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VENDOR = 4711
FOLDER, PROGRAM = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755


def tree(**others: Entry) -> Callable[[str], Entry | None]:
    """Return a disk on which root owns everything but these; `__` stands for a slash."""
    known = {
        **{path: Entry(0, FOLDER) for path in ("/", "/usr", "/usr/bin", "/opt", "/opt/x")},
        **{path: Entry(0, FOLDER) for path in ("/opt/x/bin", "/home", "/home/me")},
        "/bin": link("usr/bin"),
        "/usr/bin/python3.11": Entry(0, PROGRAM),
        "/opt/x/bin/python3": Entry(0, PROGRAM),
        "/home/me/python3": Entry(0, PROGRAM),
        **{name.replace("__", "/"): entry for name, entry in others.items()},
    }
    return known.get


def link(target: str, uid: int = 0) -> Entry:
    return Entry(uid, stat.S_IFLNK | 0o777, target)


def weak(path: str, **others: Entry) -> str:
    """Return the path of the entry that others can change, "" for none."""
    found = trust.weakness(path, tree(**others))
    return found.path if found else ""


@pytest.mark.parametrize(
    "path", ["/usr/bin/python3.11", "/bin/python3.11", "/", "//opt/./x/bin/../bin/python3"]
)
def test_what_is_roots_from_top_to_bottom_is_trusted(path: str) -> None:
    assert weak(path) == ""


@pytest.mark.parametrize("place", ["/", "/opt", "/opt/x", "/opt/x/bin", "/opt/x/bin/python3"])
@pytest.mark.parametrize("uid_and_mode", [(VENDOR, 0o755), (0, 0o775), (0, 0o757), (0, 0o1777)])
def test_one_entry_that_others_can_change_spoils_the_path(
    place: str, uid_and_mode: tuple[int, int]
) -> None:
    kind = PROGRAM if place.endswith("python3") else FOLDER
    uid, mode = uid_and_mode
    entry = Entry(uid, stat.S_IFMT(kind) | mode)
    assert weak("/opt/x/bin/python3", **{place.replace("/", "__"): entry}) == place


@pytest.mark.parametrize("target", ["/home/me/python3", "../../../home/me/python3"])
def test_the_folders_that_a_symlink_leads_through_count(target: str) -> None:
    way = {"__opt__x__bin__python3": link(target)}
    assert weak("/opt/x/bin/python3", **way) == ""
    way["__home__me"] = Entry(VENDOR, FOLDER)
    assert weak("/opt/x/bin/python3", **way) == "/home/me"


def test_a_symlink_to_a_folder_in_the_middle_of_the_path_is_followed() -> None:
    way = {"__opt__x": link("/home/me"), "__home__me": Entry(VENDOR, FOLDER)}
    assert weak("/opt/x/bin/python3", **way) == "/home/me"


def test_the_folder_of_a_symlink_in_the_middle_of_a_chain_counts() -> None:
    way = {
        "__usr__bin__python3": link("/home/me/link"),
        "__home__me": Entry(VENDOR, FOLDER),
        "__home__me__link": link("/usr/bin/python3.11"),
    }
    assert weak("/usr/bin/python3", **way) == "/home/me"


def test_a_symlink_of_somebody_else_is_not_followed() -> None:
    way = {"__opt__x__bin__python3": link("/usr/bin/python3.11", VENDOR)}
    assert weak("/opt/x/bin/python3", **way) == "/opt/x/bin/python3"


def test_what_is_missing_is_nobodys_but_its_folder_counts() -> None:
    assert weak("/opt/x/none/deep") == ""
    assert weak("/opt/x/none/deep", __opt__x=Entry(VENDOR, FOLDER)) == "/opt/x"
    assert weak("/usr/bin/python3.11/x") == ""


def test_symlinks_that_lead_in_a_circle_are_an_error() -> None:
    with pytest.raises(OSError, match="symbolic links"):
        weak("/opt/a", __opt__a=link("b"), __opt__b=link("/opt/a"))


@pytest.mark.parametrize(
    ("place", "mode"), [("/opt/x", 0o750), ("/opt/x/bin/python3", 0o751), ("/", 0o700)]
)
def test_a_program_that_others_cannot_reach_is_closed_to_them(place: str, mode: int) -> None:
    kind = PROGRAM if place.endswith("python3") else FOLDER
    entry = Entry(0, stat.S_IFMT(kind) | mode)
    assert trust.closed("/opt/x/bin/python3", tree()) is None
    found = trust.closed("/opt/x/bin/python3", tree(**{place.replace("/", "__"): entry}))
    assert found == place


@pytest.mark.parametrize(
    ("entry", "cure"),
    [
        (Entry(VENDOR, FOLDER), "chown root: /opt"),
        (Entry(0, FOLDER | 0o020), "chmod go-w /opt"),
        (Entry(VENDOR, FOLDER | 0o022), "chown root: /opt && chmod go-w /opt"),
        (link("/usr", VENDOR), "chown -h root: /opt"),
    ],
)
def test_a_weakness_is_reported_with_its_owner_and_the_commands_that_fix_it(
    entry: Entry, cure: str
) -> None:
    found = trust.weakness("/opt/x", tree(__opt=entry))
    assert found is not None
    owner = f"user {VENDOR}" if entry.uid else "root"
    assert str(found) == f"/opt belongs to {owner}, mode {entry.mode & 0o7777:04o}"
    assert found.cure == cure


def test_a_real_disk_is_looked_at(tmp_path: Path) -> None:
    program = tmp_path / "python3"
    program.touch()
    (tmp_path / "link").symlink_to(program)
    found = trust.weakness(str(tmp_path / "link"))
    assert found is not None  # pytest's folder is below a sticky one, or below a user's own
    assert trust.look(str(program)) == Entry(os.geteuid(), program.stat().st_mode)
    assert trust.look(str(tmp_path / "link")) == link(str(program), os.geteuid())
    assert trust.look(str(program / "below")) is None


# --- the agent itself --------------------------------------------------------------------------


def test_an_agent_that_others_can_change_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(Refused) as caught:
        server.on_this_host("demo", "/opt/demo")
    assert caught.value.failure.code == "agent-untrusted"
    assert str(tmp_path / "python3") in caught.value.failure.what


@needs_root
def test_a_cure_executes_nothing_of_a_name_that_another_user_has_chosen(tmp_path: Path) -> None:
    """An operator pastes it as root, and whoever owns a link chooses where it leads."""
    folder = tmp_path / "evil" / "$(touch executed); touch executed"
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        os.chown(path, VENDOR, VENDOR)
    way = tmp_path / "way"
    way.symlink_to(folder)
    found = trust.weaknesses(str(way))
    assert str(folder) in {each.path for each in found}
    script = " && ".join(each.cure for each in found)
    subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, check=True)
    assert not (tmp_path / "executed").exists()
    assert trust.weaknesses(str(way)) == []
