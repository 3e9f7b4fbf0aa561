"""Blobs are what their digest says, however they came in."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shipit.agent.protocol.manifest import Artifact
from shipit.agent.protocol.messages import Part, ProtocolError
from shipit.agent.storage import blobs
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ITEM = Artifact("thing", "1", "thing-1-py3-none-any.whl", DIGEST, len(CONTENT))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths("demo", str(tmp_path / "opt"), var=str(tmp_path / "var"))
    blobs.prepare(paths)
    return paths


def send(paths: Paths, content: bytes = CONTENT, *offsets: int) -> None:
    for offset in offsets or (0,):
        end = offset + 4096 if offsets else len(content)
        blobs.receive(paths, Part(DIGEST, offset, len(content)), content[offset:end])


def test_parts_in_any_order_make_a_blob(paths: Paths) -> None:
    send(paths, CONTENT, 8192, 0, 4096)
    assert blobs.present(paths, [DIGEST]) == ()
    blobs.verify(paths, [ITEM])
    assert Path(paths.blob(DIGEST)).read_bytes() == CONTENT
    assert blobs.present(paths, [DIGEST, "0" * 64]) == (DIGEST,)
    assert list(Path(paths.incoming("")).iterdir()) == []


def test_blobs_are_fsynced_one_by_one_and_their_folder_once(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold deploy has dozens. One whose name is lost in a power cut is sent again."""
    fsynced: list[Path] = []
    contents = [b"%d" % number for number in range(3)]
    items = []
    for content in contents:
        digest = hashlib.sha256(content).hexdigest()
        blobs.receive(paths, Part(digest, 0, len(content)), content)
        items.append(replace(ITEM, sha256=digest, size=len(content)))

    def fsync(descriptor: int) -> None:
        fsynced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", fsync)
    blobs.verify(paths, items)
    folder = Path(paths.blobs).resolve()
    assert [path.name for path in fsynced[:-1]] == [item.sha256 for item in items]
    assert fsynced[-1] == folder
    assert folder not in fsynced[:-1]


def test_two_sessions_may_send_the_same_blob(paths: Paths) -> None:
    send(paths)
    blobs.verify(paths, [ITEM])
    send(paths, CONTENT, 0)
    blobs.verify(paths, [ITEM])
    assert Path(paths.blob(DIGEST)).read_bytes() == CONTENT
    assert not Path(paths.incoming(DIGEST)).exists()


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1]], ids=["other", "short"])
def test_bytes_that_are_not_what_was_announced_are_removed(paths: Paths, content: bytes) -> None:
    send(paths, content)
    with pytest.raises(Refused) as caught:
        blobs.verify(paths, [ITEM])
    assert caught.value.failure.code == "blob-corrupt"
    assert ITEM.filename in caught.value.failure.what
    assert not Path(paths.incoming(DIGEST)).exists()
    assert blobs.present(paths, [DIGEST]) == ()


def test_what_did_not_come_is_named(paths: Paths) -> None:
    with pytest.raises(Refused) as caught:
        blobs.verify(paths, [ITEM])
    assert caught.value.failure.code == "blob-missing"


def test_a_blob_that_lost_bytes_counts_as_missing(paths: Paths) -> None:
    send(paths)
    blobs.verify(paths, [ITEM])
    Path(paths.blob(DIGEST)).write_bytes(b"short")
    assert blobs.missing(paths, [ITEM]) == (ITEM,)
    send(paths)
    blobs.verify(paths, [ITEM])
    assert blobs.missing(paths, [ITEM]) == ()


def test_a_blob_that_the_disk_has_spoiled_is_expelled(paths: Paths) -> None:
    send(paths)
    blobs.verify(paths, [ITEM])
    assert blobs.evict_corrupt(paths, [ITEM]) == []
    with Path(paths.blob(DIGEST)).open("r+b") as stream:
        stream.write(b"?")
    assert blobs.evict_corrupt(paths, [ITEM]) == [ITEM]
    assert blobs.present(paths, [DIGEST]) == ()


@pytest.mark.parametrize(
    ("digest", "offset", "total"),
    [
        ("../../etc/passwd", 0, 3),
        (DIGEST, -1, 3),
        (DIGEST, 1, 3),
        (DIGEST, 0, blobs.BLOB_LIMIT + 1),
    ],
)
def test_a_part_that_cannot_be_is_refused(
    paths: Paths, digest: str, offset: int, total: int
) -> None:
    with pytest.raises(ProtocolError):
        blobs.receive(paths, Part(digest, offset, total), b"abc")


def test_a_symlink_in_incoming_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Path(paths.incoming(DIGEST)).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        send(paths)
    assert victim.read_text() == "precious"


def test_only_root_looks_into_the_store(paths: Paths) -> None:
    assert Path(paths.blobs).stat().st_mode & 0o777 == 0o700
    send(paths)
    assert Path(paths.incoming(DIGEST)).stat().st_mode & 0o777 == 0o600


def test_a_wheel_has_one_path_for_its_content(paths: Paths) -> None:
    send(paths)
    blobs.verify(paths, [ITEM])
    link = blobs.wheel_path(paths, ITEM)
    assert link == blobs.wheel_path(paths, ITEM)
    assert Path(link).name == ITEM.filename
    assert Path(link).read_bytes() == CONTENT


def test_a_file_name_that_leads_elsewhere_is_refused(paths: Paths) -> None:
    with pytest.raises(ProtocolError):
        blobs.wheel_path(paths, Artifact("x", "1", "../x.whl", DIGEST, 1))


def test_an_abandoned_upload_is_deleted(paths: Paths) -> None:
    send(paths)
    blobs.verify(paths, [ITEM])
    link = blobs.wheel_path(paths, ITEM)
    send(paths, CONTENT, 0)
    began = Path(paths.incoming(DIGEST)).stat().st_mtime
    blobs.delete_abandoned(paths, began + 60)
    assert Path(paths.incoming(DIGEST)).exists()
    assert Path(link).is_symlink()
    Path(paths.blob(DIGEST)).unlink()
    blobs.delete_abandoned(paths, began + blobs.ABANDONED + 60)
    assert not Path(paths.incoming(DIGEST)).exists()
    assert not Path(link).is_symlink()
