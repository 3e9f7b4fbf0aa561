"""Choose the file of a lock that runs on a host, where the lock has its URL.

The pages of an index list each file of each version: to read them takes most of pip's time. uv.lock
and pylock.toml say where their files are, and uv fetches them from there, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.tags import Tag
    from packaging.utils import BuildTag

    from shipit.bundle.lock import Locked
    from shipit.bundle.target import Target

# pip replaces ${NAME} by a variable of the environment, and reads options after a space.
_PLAIN = re.compile(r"https?://[^\s$#;]+")
# Lines of `pip config list`, which has the environment, too: :env:.index-url='https://...'
_OF_PIP = re.compile(r"^\S+\.(index-url|no-index)=", re.MULTILINE)
_OF_UV = ("UV_INDEX_URL", "UV_DEFAULT_INDEX")


def has_own_index(configured: str, environment: Mapping[str, str]) -> bool:
    """Whether the user names an index in place of PyPI, so that every file comes from there.

    Args:
        configured: what `pip config list` prints.
        environment: of this process.
    """
    return bool(_OF_PIP.search(configured)) or any(environment.get(name) for name in _OF_UV)


def lines(asked: Mapping[str, Locked], target: Target) -> dict[str, str]:
    """Return pip's lines for the files that a lock has a URL of, by the lines that name pins.

    Args:
        asked: the entries, by pip's lines for them.
        target: what they have to run on; of several files, the best for it is chosen.
    """
    ranks = {tag: number for number, tag in enumerate(target.tags())}
    found = {line: max(_fitting(entry, ranks), default=None) for line, entry in asked.items()}
    return {
        line: f"{asked[line].name} @ {best[2]} --hash=sha256:{best[3]}"
        for line, best in found.items()
        if best
    }


def _fitting(entry: Locked, ranks: Mapping[Tag, int]) -> Iterator[tuple[int, BuildTag, str, str]]:
    """Yield each file that runs on a host, in the order of what an installer prefers."""
    for digest, url in entry.urls.items():
        if not _PLAIN.fullmatch(url):
            continue
        try:
            name, version, build, tags = parse_wheel_filename(_file_name(url))
        except InvalidWheelFilename:
            continue
        if entry.is_for(canonicalize_name(name), str(version)) and (own := tags & ranks.keys()):
            yield -min(ranks[tag] for tag in own), build, url, digest


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])
