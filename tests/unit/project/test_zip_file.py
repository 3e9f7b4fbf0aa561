"""Wheels whose bytes depend on their contents alone."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import TYPE_CHECKING

from shipit.bundle.wheel import open_wheel
from shipit.project import zip_file

if TYPE_CHECKING:
    from pathlib import Path

INFO = "app-1.dist-info"
NAME = "app-1-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: app\nVersion: 1\n"
FILES = [
    zip_file.of_bytes(f"{INFO}/METADATA", METADATA),
    zip_file.of_bytes(f"{INFO}/WHEEL", b"Wheel-Version: 1.0\n"),
    zip_file.of_bytes('a,"b".py', b"x = 1\n", 0o755),
    zip_file.of_bytes("b.py", b""),
]


def test_the_order_of_files_does_not_matter_and_the_record_lists_them_all(tmp_path: Path) -> None:
    one, other = tmp_path / NAME, tmp_path / "other.whl"
    zip_file.write_wheel(one, FILES, INFO)
    zip_file.write_wheel(other, reversed(FILES), INFO)
    assert one.read_bytes() == other.read_bytes()
    assert open_wheel(one).pin == "app==1"
    with zipfile.ZipFile(one) as archive:
        record = list(csv.reader(io.StringIO(archive.read(f"{INFO}/RECORD").decode())))
        assert [row[0] for row in record] == archive.namelist()
        assert archive.getinfo('a,"b".py').external_attr >> 16 == 0o100755
    assert record[0][1:] == ["sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q", "6"]


def test_a_wheel_of_any_backend_is_normalized(tmp_path: Path) -> None:
    made = []
    for number, (date, umask) in enumerate(((2001, 0o077), (2026, 0o002))):
        wheel = tmp_path / f"{number}.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/", b"")
            for file in FILES if number else reversed(FILES):
                entry = zipfile.ZipInfo(file.name, (date, 1, 1, 0, 0, 0))
                entry.external_attr = (0o100000 | file.mode & ~umask) << 16
                archive.writestr(entry, file.open().read())
            archive.writestr(f"{INFO}/RECORD", f"number {number}")
        zip_file.normalize_wheel(wheel, tmp_path / NAME)
        made.append((tmp_path / NAME).read_bytes())
    assert made[0] == made[1]
    assert open_wheel(tmp_path / NAME).version == "1"
