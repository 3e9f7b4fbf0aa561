"""Write wheels and locks in milliseconds, for tests that need no package index.

Promises valid wheels (RECORD and all) whose bytes depend on nothing but the recipe. Builds no
extension modules: a platform tag is only a claim here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.bundle.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
MIB = 1 << 20
PROGRAM = re.compile(r"\.data/(scripts|data/bin)/")
# The platform of a lab host.
BOOKWORM = Target(
    python=(3, 11),
    implementation="cpython",
    machine="x86_64",
    libc=("glibc", 2, 36),
    full_version="3.11.2",
)


@dataclass(frozen=True)
class Recipe:
    """The content of a wheel; `scripts` maps a console script to `module:function`."""

    name: str
    version: str = "1.0.0"
    tag: str = "py3-none-any"
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    extras: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    build: str = ""  # its build tag
    bulk: int = 0  # bytes of ballast, for tests of memory and of transfers

    @property
    def stem(self) -> str:
        return f"{self.name.replace('-', '_').replace('.', '_').lower()}-{self.version}"

    @property
    def filename(self) -> str:
        build = f"-{self.build}" if self.build else ""
        return f"{self.stem}{build}-{self.tag}.whl"

    @property
    def info(self) -> str:
        return f"{self.stem}.dist-info"

    def metadata(self) -> str:
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        lines += [f"Requires-Python: {self.requires_python}"] if self.requires_python else []
        lines += [f"Provides-Extra: {extra}" for extra in self.extras]
        lines += [f"Requires-Dist: {requirement}" for requirement in self.requires]
        return "\n".join(lines) + "\n"

    def wheel(self) -> str:
        python, abi, platform = self.tag.split("-")
        tags = [
            f"Tag: {p}-{a}-{where}"
            for p in python.split(".")
            for a in abi.split(".")
            for where in platform.split(".")
        ]
        pure = str(platform == "any").lower()
        tags += [f"Build: {self.build}"] if self.build else []
        return "\n".join(["Wheel-Version: 1.0", f"Root-Is-Purelib: {pure}", *tags]) + "\n"


class _Packer:
    """Puts files into a wheel and remembers their RECORD lines."""

    def __init__(self, wheel: zipfile.ZipFile) -> None:
        self.wheel = wheel
        self.record: list[str] = []

    def add(self, name: str, *chunks: bytes, mode: int = 0o644) -> None:
        entry = zipfile.ZipInfo(name, LONG_AGO)
        entry.external_attr = (0o100000 | mode) << 16
        digest, size = hashlib.sha256(), 0
        with self.wheel.open(entry, "w") as out:
            for chunk in chunks:
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        text = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={text},{size}")

    def finish(self, info: str) -> None:
        lines = [*self.record, f"{info}/RECORD,,"]
        self.wheel.writestr(zipfile.ZipInfo(f"{info}/RECORD", LONG_AGO), "\n".join(lines) + "\n")


def write_wheel(folder: Path, recipe: Recipe) -> Path:
    """Write the recipe's wheel into the folder (made if missing) and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / recipe.filename
    with zipfile.ZipFile(path, "w") as archive:
        packer = _Packer(archive)
        for name, content in sorted(recipe.files.items()):
            mode = 0o755 if PROGRAM.search(name) else 0o644
            packer.add(name, content.encode() if isinstance(content, str) else content, mode=mode)
        if recipe.bulk:
            whole, rest = divmod(recipe.bulk, MIB)
            ballast = f"{recipe.stem.split('-')[0]}_ballast.bin"
            packer.add(ballast, *[b"\1" * MIB] * whole, b"\1" * rest)
        packer.add(f"{recipe.info}/METADATA", recipe.metadata().encode())
        packer.add(f"{recipe.info}/WHEEL", recipe.wheel().encode())
        if recipe.scripts:
            lines = [f"{name} = {target}\n" for name, target in sorted(recipe.scripts.items())]
            text = "[console_scripts]\n" + "".join(lines)
            packer.add(f"{recipe.info}/entry_points.txt", text.encode())
        packer.finish(recipe.info)
    return path


def tinyapp_wheel(
    folder: Path, version: str = "1.0.0", fault: str = "", requires: tuple[str, ...] = ()
) -> Path:
    """Write a wheel of tinyapp.py; `fault` as its docstring says, such as `late:2`."""
    files = {"tinyapp.py": Path(__file__).with_name("tinyapp.py").read_bytes()}
    if fault:
        files["tinyapp.json"] = json.dumps({"fault": fault}).encode()
    scripts = {"tinyapp": "tinyapp:main", "tinyapp-worker": "tinyapp:worker"}
    scripts["tinyapp-report"] = "tinyapp:report"
    recipe = Recipe("tinyapp", version, requires=requires, files=files, scripts=scripts)
    return write_wheel(folder, recipe)


def installed_wheel(folder: Path, name: str) -> Path:
    """Rebuild the wheel of an installed distribution (uv, pip).

    Uncompressed, so that it takes a moment: these are installers for host tests without an index.
    """
    found = distribution(name)
    info = f"{found.name.replace('-', '_')}-{found.version}.dist-info"
    tags = [
        line[5:] for line in (found.read_text("WHEEL") or "").splitlines() if line[:5] == "Tag: "
    ]
    path = folder / f"{info.removesuffix('.dist-info')}-{_one_tag(tags)}.whl"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    entry_points = {f"../../../bin/{point.name}" for point in found.entry_points}
    unfinished = path.with_suffix(f".{os.getpid()}")  # several test processes may share the folder
    with zipfile.ZipFile(unfinished, "w") as archive:
        packer = _Packer(archive)
        for file in sorted(found.files or [], key=str):
            target = _in_wheel(str(file), info)
            if target and str(file) not in entry_points:
                source = Path(str(file.locate()))
                mode = 0o755 if "/scripts/" in target else 0o644
                packer.add(target, source.read_bytes(), mode=mode)
        packer.finish(info)
    unfinished.replace(path)
    return path


def _in_wheel(file: str, info: str) -> str:
    """Return an installed file's name in its wheel, or nothing if the installation made it."""
    made = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json", ".pyc")
    if file.endswith(made):
        return ""
    if file.startswith("../../../bin/"):
        return f"{info.removesuffix('.dist-info')}.data/scripts/{Path(file).name}"
    return "" if file.startswith("..") else file


def _one_tag(tags: list[str]) -> str:
    """Fold single tags into the compressed form of a file name."""
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(sorted(set(part))) for part in parts)


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock_text(wheels: Iterable[Path], markers: Mapping[str, str] | None = None) -> str:
    """Return a lock of requirements with hashes for these wheels; `markers` maps a name to one."""
    hashes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        hashes[name.lower().replace("_", "-"), version].append(sha256(wheel))
    lines = []
    for (name, version), digests in sorted(hashes.items()):
        marker = f" ; {markers[name]}" if markers and name in markers else ""
        entry = [f"{name}=={version}{marker}", *(f"--hash=sha256:{digest}" for digest in digests)]
        lines.append(" \\\n    ".join(entry) + "\n")
    return "".join(lines)


def write_lock(
    path: Path, wheels: Iterable[Path], markers: Mapping[str, str] | None = None
) -> Path:
    path.write_text(lock_text(wheels, markers))
    return path
