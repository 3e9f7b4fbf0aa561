"""No entry of an interpreter's archive leads out of its folder, whatever the archive says."""

from __future__ import annotations

import tarfile

import pytest

from shipit.agent.protocol.rules.archives import PROGRAM, Listing, UnsafeArchive


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def folder(name: str) -> tarfile.TarInfo:
    return entry(name, tarfile.DIRTYPE)


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, target)


def listed(*entries: tarfile.TarInfo, **limits: int) -> Listing:
    listing = Listing(**limits)
    for each in entries:
        listing.add(each)
    listing.finish()
    return listing


def test_a_program_is_one_that_a_manifest_may_name() -> None:
    assert PROGRAM.fullmatch("bin/python3.13")
    assert not PROGRAM.fullmatch("bin/python3.\N{ARABIC-INDIC DIGIT ONE}")


def test_files_folders_and_links_inside_are_listed_below_the_top_folder() -> None:
    found = listed(
        folder("python"),
        entry("./python/bin/python3.13", size=5),
        link("python/bin/python3", "python3.13"),
        entry("python/bin/same", tarfile.LNKTYPE, "python/bin/python3.13"),
        link("python/share/a/b", "../../bin/./python3"),
        link("python/missing", "nothing/there"),
    )
    assert found.kinds == {
        "bin": "folder",
        "bin/python3.13": "file",
        "bin/python3": "link",
        "bin/same": "file",
        "share": "folder",
        "share/a": "folder",
        "share/a/b": "link",
        "missing": "link",
    }
    assert found.size == 10


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry("/etc/passwd")], id="an absolute path"),
        pytest.param([entry("python/../../etc/passwd")], id="dots"),
        pytest.param([entry("python/a\nb")], id="a control character"),
        pytest.param([entry("python/\udcff")], id="no text"),
        pytest.param([entry("python/a"), entry("other/b")], id="two top folders"),
        pytest.param([entry("python")], id="a file at the top"),
        pytest.param([entry("python/a"), entry("python/a")], id="twice"),
        pytest.param([entry("python/a"), folder("python/a")], id="a file and a folder"),
        pytest.param([entry("python/a"), entry("python/a/b")], id="below a file"),
        pytest.param([link("python/a", "b"), entry("python/a/b")], id="through a link"),
        pytest.param([folder("python/a"), link("python/a", "b")], id="a link over a folder"),
        pytest.param([link("python/a", "")], id="a link to nothing"),
        pytest.param([link("python/a", "/etc")], id="a link to an absolute path"),
        pytest.param([link("python/a/b", "../../etc")], id="a link that leads outside"),
        pytest.param([link("python/a", "b/../../etc")], id="a link that leads outside at its end"),
        pytest.param(
            [folder("python/d/d"), link("python/d/d/top", "../.."), link("python/x", "d/d/top/..")],
            id="a link that leads outside through another",
        ),
        pytest.param([entry("python/a", tarfile.LNKTYPE, "/etc/passwd")], id="a hard link outside"),
        pytest.param([entry("python/a", tarfile.LNKTYPE, "python/b")], id="a hard link to nothing"),
        pytest.param(
            [link("python/b", "c"), entry("python/a", tarfile.LNKTYPE, "python/b")],
            id="a hard link to a link",
        ),
        pytest.param([entry("python/a", tarfile.CHRTYPE)], id="a device"),
        pytest.param([entry("python/a", tarfile.BLKTYPE)], id="a block device"),
        pytest.param([entry("python/a", tarfile.FIFOTYPE)], id="a pipe"),
        pytest.param([entry("python/a", tarfile.GNUTYPE_SPARSE)], id="a sparse file"),
    ],
)
def test_what_leads_outside_or_is_no_plain_entry_is_refused(entries: list[tarfile.TarInfo]) -> None:
    with pytest.raises(UnsafeArchive):
        listed(*entries)


def test_more_entries_or_bytes_than_declared_are_refused() -> None:
    several = [entry("python/a", size=6), entry("python/b", tarfile.LNKTYPE, "python/a")]
    assert listed(*several, entries=2, size=12).size == 12
    with pytest.raises(UnsafeArchive):
        listed(*several, entries=1, size=12)
    with pytest.raises(UnsafeArchive):
        listed(*several, entries=2, size=11)
