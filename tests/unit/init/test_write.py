"""Files are written whole or not at all, and never over what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.init import write

if TYPE_CHECKING:
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_new_file_is_created_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert write.create(tmp_path / "prod.yaml", "app: é\n")
    assert (tmp_path / "prod.yaml").read_text(encoding="utf-8") == "app: é\n"
    assert names(tmp_path) == ["prod.yaml"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_there_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "prod.yaml"
    if kind == "file":
        path.write_text("theirs")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert not write.create(path, "ours")
    assert names(tmp_path) == ["prod.yaml"]
    assert kind != "file" or path.read_text() == "theirs"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_filesystem_without_hard_links_is_written_to_as_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_there: bool,  # noqa: FBT001 - an example
) -> None:
    def link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "prod.yaml"
    if is_there:
        path.write_text("theirs")
    assert write.create(path, "ours") is not is_there
    assert path.read_text() == ("theirs" if is_there else "ours")
    assert names(tmp_path) == ["prod.yaml"]


def test_a_folder_that_cannot_be_written_to_is_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "prod.yaml"
    with pytest.raises(InputError) as caught:
        write.create(path, "ours")
    (mistake,) = caught.value.mistakes
    assert mistake.code == "init-unwritable"
    assert str(mistake).startswith(f"{path}: the file cannot be written: No such file")


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "/a\n/b\n"), ("x\n", "x\n/a\n/b\n"), ("x", "x\n/a\n/b\n"), ("", "/a\n/b\n")],
)
def test_lines_are_appended_each_on_a_line_of_its_own(
    tmp_path: Path, before: str | None, after: str
) -> None:
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_text(before)
        path.chmod(0o600)
    write.append(path, ["/a", "/b"])
    assert path.read_text() == after
    assert before is None or path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == [".gitignore"]
