"""How a tree changes hands that its present owner can change meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from marks import needs_root
from shipit.agent.host.trees import chown, pinned
from shipit.agent.system.failures import Refused
from shipit.agent.system.ownership import Move, Owner

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW, ALIEN = Owner(61001, 61001), Owner(61002, 61002), Owner(61003, 61003)

pytestmark = needs_root


@dataclass
class Tree:
    """A directory of the old user's, with a secret of somebody else's beside it."""

    top: Path
    secret: Path

    def make(self, name: str, *, of: Owner = OLD, mode: int = 0o644) -> Path:
        path = self.top / name
        for folder in reversed(path.relative_to(self.top).parents[:-1]):
            if not (self.top / folder).exists():
                (self.top / folder).mkdir()
                os.chown(self.top / folder, OLD.uid, OLD.gid)
        path.write_text(name)
        os.chown(path, of.uid, of.gid)
        path.chmod(mode)
        return path

    def hand_over(self, *, timeout: float = 60.0, lenient: bool = False) -> None:
        move = Move(str(self.top), (OLD,), NEW)
        chown.hand_over(move, timeout=timeout, lenient=lenient)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "state", tmp_path / "secret")
    made.top.mkdir()
    os.chown(made.top, OLD.uid, OLD.gid)
    made.secret.write_text("secret")
    return made


def owner(path: Path) -> Owner:
    status = path.lstat()
    return Owner(status.st_uid, status.st_gid)


def test_all_that_is_the_givers_is_the_takers_and_nothing_else(tree: Tree) -> None:
    deep = tree.make("a/b/file")
    alien, mixed = tree.make("alien", of=ALIEN), tree.make("mixed", of=Owner(OLD.uid, ALIEN.gid))
    fifo = tree.top / "fifo"
    os.mkfifo(fifo)
    os.chown(fifo, OLD.uid, OLD.gid)
    tree.hand_over()
    assert {owner(path) for path in (tree.top, deep, deep.parent, fifo)} == {NEW}
    assert owner(alien) == ALIEN
    assert owner(mixed) == Owner(NEW.uid, ALIEN.gid)
    tree.hand_over()
    assert owner(deep) == NEW


def test_no_symlink_is_followed_and_it_changes_hands_itself(tree: Tree, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.chown(outside, OLD.uid, OLD.gid)
    links = []
    for name, target in (("file", tree.secret), ("folder", outside)):
        link = tree.top / name
        link.symlink_to(target)
        os.lchown(link, OLD.uid, OLD.gid)
        links.append(link)
    os.chown(tree.secret, OLD.uid, OLD.gid)
    tree.hand_over()
    assert [owner(link) for link in links] == [NEW, NEW]
    assert [owner(tree.secret), owner(outside)] == [OLD, OLD]


@pytest.mark.parametrize("whose", [Owner(0, 0), OLD])
def test_a_file_with_a_second_name_stays_whose_it_was(tree: Tree, whose: Owner) -> None:
    os.chown(tree.secret, whose.uid, whose.gid)
    (tree.top / "mine").hardlink_to(tree.secret)
    tree.hand_over()
    assert owner(tree.secret) == whose


def test_what_ran_with_the_givers_rights_does_not_run_with_the_takers(tree: Tree) -> None:
    program = tree.make("id", mode=0o6755)
    tree.hand_over()
    assert stat.S_IMODE(program.stat().st_mode) == 0o755


def test_a_device_stays_whose_it_was(tree: Tree) -> None:
    device = tree.top / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices can be made here")
    os.chown(device, OLD.uid, OLD.gid)
    tree.hand_over()
    assert owner(device) == OLD


def test_what_is_made_meanwhile_in_a_directory_that_is_not_yet_given_is_found(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tree.top / "late"

    def make() -> None:
        late.touch()
        os.chown(late, OLD.uid, OLD.gid)

    _at_the_first_look(monkeypatch, make)
    tree.hand_over()
    assert owner(late) == NEW


def test_a_directory_that_is_replaced_by_a_symlink_is_not_walked(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tree.make("folder/file")
    os.chown(tree.secret, OLD.uid, OLD.gid)
    held = pinned.path

    def swapped(descriptor: int) -> str:
        """Swap it when it is held already, and looked at."""
        if inside.parent.is_dir() and not inside.parent.is_symlink():
            inside.parent.rename(tmp_path / "gone")
            inside.parent.symlink_to(tmp_path)
        return held(descriptor)

    monkeypatch.setattr(pinned, "path", swapped)
    tree.hand_over()
    assert owner(tree.secret) == OLD


def _at_the_first_look(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    names, acts = pinned.names, [act]

    def looked(folder: int) -> object:
        while acts:
            acts.pop()()
        return names(folder)

    monkeypatch.setattr(pinned, "names", looked)


def test_a_directory_in_one_that_others_can_write_is_not_looked_for(tmp_path: Path) -> None:
    parent, target = tmp_path / "parent", tmp_path / "target"
    for folder in (parent, target):
        folder.mkdir()
        os.chown(folder, OLD.uid, OLD.gid)
    (parent / "state").symlink_to(target)
    move = Move(str(parent / "state"), (OLD,), NEW)
    chown.hand_over(move, timeout=60, lenient=False)
    assert owner(target) == OLD


def test_a_directory_that_is_not_there_is_left_to_systemd(tmp_path: Path) -> None:
    move = Move(str(tmp_path / "none"), (OLD,), NEW)
    chown.hand_over(move, timeout=60, lenient=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("depth", "timeout"), [(chown.DEPTH + 5, 60.0), (1, 0.0)])
def test_a_tree_without_end_is_refused_and_keeps_nobody_from_lenient(
    tree: Tree, depth: int, timeout: float
) -> None:
    tree.make("/".join(["d"] * depth + ["file"]).lstrip("/"))
    with pytest.raises(Refused) as refused:
        tree.hand_over(timeout=timeout)
    assert refused.value.failure.code == "hand-over-unfinished"
    assert str(tree.top) in refused.value.failure.what
    tree.hand_over(timeout=timeout, lenient=True)
    assert owner(tree.top) == NEW


def test_what_cannot_be_given_is_refused_and_does_not_block_a_rollback(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed, other = tree.make("a"), tree.make("b")
    chown, held = os.chown, fixed.stat().st_ino

    def refusing(path: str, uid: int, gid: int) -> None:
        if Path(path).stat().st_ino == held:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        chown(path, uid, gid)

    monkeypatch.setattr(os, "chown", refusing)
    with pytest.raises(PermissionError) as refused:
        tree.hand_over()
    assert refused.value.filename == str(tree.top)
    tree.hand_over(lenient=True)
    assert [owner(fixed), owner(other)] == [OLD, NEW]
