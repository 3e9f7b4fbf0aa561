"""Shared by the readers of locks: text, places, digests, and origins outside an index."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from shipit.bundle.lock import Origin, how_to_lock
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{path.name} is not UTF-8 text"
        raise InputError(Mistake("unreadable-lock", what, Place(str(path)))) from error
    except OSError as error:
        what = f"the lock can't be read: {error.strerror}"
        mistake = Mistake("missing-lock", what, Place(str(path)), how_to_lock(path))
        raise InputError(mistake) from error


def toml(path: Path) -> tuple[dict[str, Any], list[Place]]:
    """Return the document, and the place of each of its [[package(s)]] tables in order."""
    text = text_of(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # too many digits, nested too deeply, no TOML
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Place(str(path), *(int(number) for number in at.groups()) if at else ())
        raise InputError(Mistake("lock-syntax", f"no TOML: {error}", place)) from error
    places = [
        Place(str(path), number, 1)
        for number, line in enumerate(text.splitlines(), 1)
        if re.fullmatch(r"\s*\[\[\s*packages?\s*\]\]\s*(#.*)?", line)
    ]
    return document, places


def place_of(places: list[Place], index: int, path: Path) -> Place:
    return places[index] if index < len(places) else Place(str(path))  # inline tables


def sha256_of(hashes: Iterable[object]) -> frozenset[str]:
    """Return the digests among texts such as `sha256:abc...`."""
    texts = [text for text in hashes if isinstance(text, str)]
    return frozenset(text[7:].lower() for text in texts if text[:7] == "sha256:")


# --- origins outside an index ------------------------------------------------------------------


def folder(path: str) -> Origin:
    return Origin(f"the folder {path}", f"uv build --wheel -o {{}} {path}", path, is_tree=True)


def repository(name: str, kind: str, url: str, commit: str, folder: str = "") -> Origin:
    source = f"{kind}+{url}@{commit}" + (f"#subdirectory={folder}" if folder else "")
    get = f"pip wheel --no-deps -w {{}} '{name} @ {source}'"
    return Origin(f"a commit of {url}", get, source, is_tree=True)


def file(place: str) -> Origin:
    """Return the origin of a wheel or an sdist that has a URL or a path."""
    is_wheel = place.partition("#")[0].endswith(".whl")
    get = f"pip download --no-deps -d {{}} {place}" if is_wheel else f"pip wheel -w {{}} {place}"
    return Origin(place, get, place, is_wheel=is_wheel)
