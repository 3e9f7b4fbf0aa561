"""What was built on this machine goes only to hosts that it runs on."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from shipit.errors import InputError, Place
from shipit.project.building.fitting import Part, fitting, refuse_another
from wheelhouse import BOOKWORM


@pytest.mark.parametrize(
    ("tag", "libc", "here", "refused"),
    [
        ("cp311-cp311-linux_x86_64", ("glibc", 2, 36), "2.36", ""),
        ("cp311-cp311-linux_x86_64", ("glibc", 2, 31), "2.36", "libc-too-new"),
        ("cp311-cp311-linux_x86_64", ("musl", 1, 2), "2.36", "libc-too-new"),
        ("cp311-cp311-linux_aarch64", ("glibc", 2, 36), "2.36", "wrong-platform"),
        ("cp313-cp313-linux_x86_64", ("glibc", 2, 36), "2.36", "wrong-python"),
        ("cp311-cp311-manylinux_2_17_x86_64", ("glibc", 2, 31), "2.36", ""),
        ("py3-none-any", ("musl", 1, 2), "2.36", ""),
    ],
)
def test_what_is_compiled_here_has_to_run_there(
    tag: str, libc: tuple[str, int, int], here: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", here))
    part = Part("fast", "fast==1", Place("uv.lock", 1))
    wheel, target = Path(f"fast-1-{tag}.whl"), replace(BOOKWORM, libc=libc)
    if not refused:
        assert fitting(wheel, part, target) == wheel
        return
    with pytest.raises(InputError, match="fast==1 has compiled parts") as caught:
        fitting(wheel, part, target)
    assert caught.value.mistakes[0].code == refused


GB = 1024**3
SENT = "fast-1-cp311-cp311-linux_x86_64.whl"


def sent(folder: Path, *sizes: int) -> Path:
    """Write a wheel whose files claim to be so large."""
    path = folder / SENT
    with zipfile.ZipFile(path, "w") as archive:
        for number, size in enumerate(sizes):
            archive.writestr(str(number), "")
            archive.infolist()[-1].file_size = size
    return path


def refused(wheel: Path) -> str:
    with pytest.raises(InputError) as caught:
        refuse_another(wheel, Part("fast", "fast==1", Place("uv.lock", 1)), "web1")
    (mistake,) = caught.value.mistakes
    assert mistake.code == "builder-failed"
    return mistake.what


def test_a_wheel_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    asked = "web1 was asked for a wheel of fast==1"
    too_large = "the wheel unpacks to 9 GB; at most 8 GB are accepted"
    assert refused(sent(tmp_path, 5 * GB, 3 * GB + 1)) == f"{asked}: {too_large}"
    fits = Part("fast", "fast==1", Place("uv.lock", 1))
    refuse_another(sent(tmp_path, 5 * GB, 3 * GB), fits, "web1")


def test_a_file_that_breaks_what_reads_it_is_refused(tmp_path: Path) -> None:
    wheel = sent(tmp_path, 1)
    content = bytearray(wheel.read_bytes())
    (at,) = (match.start() for match in re.finditer(b"PK\x01\x02", content))
    content[at + 6] = 99  # the version of zip that it needs
    for damaged in (bytes(content), b"", b"PK"):
        wheel.write_bytes(damaged)
        assert refused(wheel).endswith(f"sent {SENT}, which is no wheel")
