"""Check the wheel of the installer, which runs as root on the hosts and is in no lock.

Where it is for the platform of the one that is installed here, it has to consist of the same files.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from packaging.tags import parse_tag
from packaging.utils import parse_wheel_filename

from shipit.bundle.wheel import record
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path


def refuse_another(wheel: Path) -> None:
    """Refuse a wheel of the version and platform that this machine has, with other contents.

    Raises:
        InputError: wrong-installer.
    """
    name, version, _, tags = parse_wheel_filename(wheel.name)
    try:
        here = distribution(name)
    except PackageNotFoundError:
        return
    lines = (here.read_text("WHEEL") or "").splitlines()
    own = {tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line[5:])}
    if here.version != str(version) or own.isdisjoint(tags):
        return
    known = {f"sha256={file.hash.value}" for file in here.files or () if file.hash}
    if others := sorted(file for file, digest in record(wheel).items() if digest not in known):
        what = f"{others[0]} of {wheel.name} is another than in the {name} that is installed here"
        hint = (
            "find out where it comes from: it would run as root on the hosts. If that is right,"
            f" lock {name} with the project, so that its hash is known"
        )
        raise InputError(Mistake("wrong-installer", what, Place(str(wheel)), hint))
