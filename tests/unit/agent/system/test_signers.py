"""Whether a host asks for signatures: whatever lies at the path counts; doubt lets nothing in."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from marks import needs_root
from shipit.agent.system import signers
from shipit.agent.system.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def paths(folder: Path) -> Paths:
    return replace(Paths("demo", "/opt/demo"), signers=str(folder / "etc" / "allowed_signers"))


def plain(path: Path) -> None:
    path.write_text("")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def endless(path: Path) -> None:
    path.symlink_to(path.name)


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, signers.SIZE_LIMIT + 1)


def test_a_host_without_the_file_does_not_ask(tmp_path: Path) -> None:
    assert not signers.are_asked_for(paths(tmp_path))
    (tmp_path / "etc").mkdir()
    assert not signers.are_asked_for(paths(tmp_path))


def test_a_file_of_root_is_used(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    plain(tmp_path / "etc" / "allowed_signers")
    assert signers.are_asked_for(paths(tmp_path))
    assert signers.problem(paths(tmp_path)) is None


@pytest.mark.parametrize("make", [dangling, endless, large, os.mkdir, os.mkfifo])
def test_one_that_cannot_be_used_lets_nothing_in(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "etc").mkdir()
    make(tmp_path / "etc" / "allowed_signers")
    assert signers.are_asked_for(paths(tmp_path))
    found = signers.problem(paths(tmp_path))
    assert found is not None
    assert (found.code, bool(found.hint)) == ("signers-unusable", True)


@pytest.mark.parametrize("make", [plain, dangling, endless])
def test_a_folder_that_is_none_lets_nothing_in(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "etc")
    assert signers.are_asked_for(paths(tmp_path))
    found = signers.problem(paths(tmp_path))
    assert found is not None
    assert found.code == "signers-unusable"


@pytest.mark.parametrize("name", ["etc", "etc/allowed_signers"])
@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_one_that_others_can_change_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, name: str, mode: int
) -> None:
    (tmp_path / "etc").mkdir()
    plain(tmp_path / "etc" / "allowed_signers")
    (tmp_path / name).chmod(mode)
    found = signers.problem(paths(tmp_path))
    assert found is not None
    assert (found.code, found.hint) == ("signers-untrusted", f"chmod go-w {tmp_path / name}")


@needs_root
def test_one_that_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "allowed_signers"
    plain(file)
    os.chown(file, 65534, 0)
    found = signers.problem(paths(tmp_path))
    assert found is not None
    assert (found.code, found.hint) == ("signers-untrusted", f"chown root: {file}")
