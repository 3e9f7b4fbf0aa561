"""Ship a project that is no package: its files as they are, wrapped into a wheel.

So they are checked, sent, installed, verified and removed like any other wheel. In the venv they
are the folder app/, which a .pth file puts on the path of every interpreter that starts there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.project import zip_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shipit.project.files import File

FOLDER = "app"  # below the venv: PEP 427's scheme `data` is the venv itself
# From lib/pythonX.Y/site-packages, where a relative line of a .pth file begins.
_ON_PATH = f"../../../{FOLDER}\n"


def wheel_name(name: str, version: str) -> str:
    """Return the file name of a tree's wheel; both are normalized."""
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def write(path: Path, name: str, version: str, python: str, files: Iterable[File]) -> None:
    """Write the wheel of a tree.

    Args:
        path: where to; its name is `wheel_name`.
        name: the project's, normalized.
        version: normalized.
        python: which Pythons it accepts, as a specifier; may be empty.
        files: what it contains.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    info, top = f"{stem}.dist-info", f"{stem}.data/data/{FOLDER}"
    metadata = {
        "Metadata-Version": "2.1",
        "Name": name,
        "Version": version,
        "Requires-Python": python,
    }
    wheel = {
        "Wheel-Version": "1.0",
        "Generator": "shipit",
        "Root-Is-Purelib": "true",
        "Tag": "py3-none-any",
    }
    contents = [
        *(zip_file.of_file(f"{top}/{file.name}", file.path, file.mode) for file in files),
        zip_file.of_bytes(f"{name.replace('-', '_')}.pth", _ON_PATH.encode()),
        zip_file.of_bytes(f"{info}/METADATA", zip_file.headers(metadata)),
        zip_file.of_bytes(f"{info}/WHEEL", zip_file.headers(wheel)),
    ]
    zip_file.write_wheel(path, contents, info)
