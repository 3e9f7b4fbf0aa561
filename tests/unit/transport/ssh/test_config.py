from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.transport.ssh.config import text_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    folder = tmp_path / ".ssh"
    (folder / "conf.d").mkdir(parents=True)
    return folder


def test_a_missing_file_is_empty(ssh: Path) -> None:
    assert text_of(ssh / "config") == ""


def test_an_include_is_replaced_by_the_files(ssh: Path) -> None:
    (ssh / "conf.d" / "2").write_text("Host two\n Port 2")
    (ssh / "conf.d" / "1").write_text("Host one\n Port 1")
    (ssh / "config").write_text("Host a\n Port 9\nInclude conf.d/*\n User x")
    assert text_of(ssh / "config").splitlines() == [
        "Host a",
        " Port 9",
        "Host one",
        " Port 1",
        "Host two",
        " Port 2",
        "Host a",
        " User x",
    ]


@pytest.mark.parametrize("line", ["include ~/.ssh/x", "INCLUDE=~/.ssh/x", 'Include "~/.ssh/x" y'])
def test_include_means_what_it_means_to_ssh(ssh: Path, line: str) -> None:
    (ssh / "x").write_text("User deploy")
    (ssh / "config").write_text(line)
    assert "User deploy" in text_of(ssh / "config")


def test_a_file_that_includes_itself_is_refused(ssh: Path) -> None:
    (ssh / "config").write_text("Include config")
    with pytest.raises(InputError, match="include itself"):
        text_of(ssh / "config")


def test_a_file_that_cannot_be_read_is_named(ssh: Path) -> None:
    with pytest.raises(InputError, match="ssh-config"):
        text_of(ssh)
