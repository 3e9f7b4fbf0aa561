"""Pack the agent: the package shipit.agent as one zip file that a host's Python runs.

The same sources give the same bytes on every machine and Python: names are sorted, dates fixed, and
files stored, not deflated, because zlib's output differs between versions (the zip is compressed
for transport). Works from a checkout and from an installed wheel.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

PACKAGE = "shipit.agent"
NAME = "shipit_agent"  # the package's name inside the zip: relative imports work under any name
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip
_MAIN = f"""\
import sys

from {NAME}.__main__ import main

sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class AgentZip:
    """The agent as it is sent to hosts and stored there.

    Attributes:
        content: the zip; agent/__main__.py lists the roles that it is run with.
        sha256: hex digest of content; the file's name on a host.
        boot: the source of agent/boot.py, which runs on the host before the zip arrives.
    """

    content: bytes = field(repr=False)
    sha256: str
    boot: bytes = field(repr=False)


def build() -> AgentZip:
    """Pack the agent that belongs to this version of shipit."""
    sources = dict(_sources(resources.files(PACKAGE), ""))
    boot = sources.pop("boot.py")
    content = pack(sources)
    return AgentZip(content, hashlib.sha256(content).hexdigest(), boot)


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


def pack(sources: dict[str, bytes]) -> bytes:
    """Return the zip of these modules (path below the package -> source)."""
    members = {f"{NAME}/{path}": content for path, content in sources.items()}
    members["__main__.py"] = _MAIN.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(members):
            info = zipfile.ZipInfo(path, _DATE)
            info.create_system = 3  # Unix, on every machine
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[path])
    return packed.getvalue()
