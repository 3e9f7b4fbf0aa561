"""Read a lock in the format of requirements with hashes, as pip and uv write and read it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipit.bundle.lock import Lock, Locked, how_to_lock
from shipit.bundle.lock_text import text_of
from shipit.errors import InputError, Mistake, Place, collect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREDENTIALS = re.compile(r"://[^/\s]*@")  # of a URL
_CUT = 200  # characters of a line in an error
_SHOWN = 3  # mistakes of one kind


def read(path: Path) -> Lock:
    """Read the requirements and the files that they include.

    Raises:
        InputError: with every mistake; many of one kind are summed up.
    """
    try:
        return Lock(path, tuple(_read_requirements(path, frozenset())))
    except InputError as error:
        raise InputError(*_folded(error.mistakes)) from error


def _folded(mistakes: Sequence[Mistake]) -> Iterator[Mistake]:
    """Yield the first mistakes of each kind, and the number of further ones."""
    total, seen = Counter(mistake.code for mistake in mistakes), Counter[str]()
    for mistake in mistakes:
        seen[mistake.code] += 1
        if seen[mistake.code] < _SHOWN or total[mistake.code] <= _SHOWN:
            yield mistake
        elif seen[mistake.code] == _SHOWN:
            more = total[mistake.code] - _SHOWN
            yield replace(mistake, what=f"{mistake.what}; and {more} more like this")


@dataclass(frozen=True)
class _Line:
    """A logical line: continuations joined, comments removed."""

    text: str
    place: Place

    @property
    def shown(self) -> str:
        """The line without its hashes and credentials, as an error names it."""
        text = _CREDENTIALS.sub("://***@", self.text.split(" --hash")[0])
        words = " ".join(text.split())
        return words if len(words) <= _CUT else words[: _CUT - 3] + "..."

    @property
    def how_to_lock(self) -> str:
        return how_to_lock(self.place.file)

    def wrong(self, code: str, what: str, hint: str) -> InputError:
        return InputError(Mistake(code, what, self.place, hint))


def _lines(text: str, path: Path) -> Iterator[_Line]:
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start if pending else number
        # pip: a `#` begins a comment at the start of a line or after white space.
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        joined, pending = (pending + line).strip(), ""
        if joined:
            yield _Line(joined, Place(str(path), start, 1))
    if pending.strip():
        yield _Line(pending.strip(), Place(str(path), start, 1))


def _read_requirements(path: Path, included_from: frozenset[Path]) -> list[Locked]:
    def entries(line: _Line) -> list[Locked]:
        if not line.text.startswith("-"):
            return [_requirement(line)]
        nested = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line.text)
        if nested is None:
            _refuse_option(line)
            return []
        inner = path.parent / nested[1]
        if inner in {path, *included_from}:
            what = f"{inner.name} includes itself"
            raise line.wrong("include-loop", what, "remove this line")
        return _read_requirements(inner, included_from | {path})

    return [entry for found in collect(entries, _lines(text_of(path), path)) for entry in found]


def _refuse_option(line: _Line) -> None:
    """Reject options that would change the bundle; those about indexes are ignored."""
    word = re.split(r"[\s=]", line.text)[0]
    if word in {"-e", "--editable"}:
        raise _no_index(line, "an editable project can't be shipped")
    if word == "--hash":
        what = "a --hash that belongs to no requirement"
        hint = "end the line before it with a backslash"
        raise line.wrong("lock-syntax", what, hint)


def _unpinned(line: _Line, why: str) -> InputError:
    what = f"{why}: `{line.shown}`; expected name==version with hashes"
    return line.wrong("not-pinned", what, line.how_to_lock)


def _no_index(line: _Line, why: str) -> InputError:
    """Reject a requirement by path or URL: a package of that name on an index is another one."""
    words = line.shown.split()
    what = f"{why}: `{line.shown}`; expected name==version with hashes"
    hint = "build its wheel (uv build --wheel), put it into the wheelhouse, and write here"
    hint += " name==version --hash=sha256:... of that wheel"
    if words[-1:] == ["."]:
        hint = "the app's own wheel is given by `wheel:`; write the lock without it:"
        hint += f" uv export --no-emit-project -o {Path(line.place.file).name}"
    return line.wrong("not-pinned", what, hint)


def _requirement(line: _Line) -> Locked:
    text, *options = re.split(r"\s+(?=--?[a-z])", line.text)
    if re.match(r"[./]|[a-z+]+:", text) or text.endswith((".whl", ".tar.gz", ".zip")):
        raise _no_index(line, "a URL or a path is not a locked version")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        # The last line of packaging's message marks the column with a ^, indented by four.
        what, *_, pointer = str(error).splitlines()
        place = replace(line.place, column=len(pointer) - 4)
        mistake = Mistake("lock-syntax", f"not a requirement: {what}", place)
        raise InputError(mistake) from error
    except ValueError as error:  # a number of more digits than Python reads
        raise _unpinned(line, "no valid version") from error
    if requirement.url:
        raise _no_index(line, "a URL is not a locked version")
    return Locked(
        canonicalize_name(requirement.name),
        _exact_version(requirement, line),
        _digests(requirement.name, options, line),
        line.place,
        requirement.marker,
    )


def _exact_version(requirement: Requirement, line: _Line) -> str:
    operators = [specifier.operator for specifier in requirement.specifier]
    versions = [specifier.version for specifier in requirement.specifier]
    if operators not in (["=="], ["==="]) or versions[0].endswith(".*"):
        raise _unpinned(line, "no exact version")
    try:
        return str(Version(versions[0]))
    except ValueError as error:  # InvalidVersion, or a number without end
        raise _unpinned(line, "no valid version") from error


def _digests(name: str, options: list[str], line: _Line) -> frozenset[str]:
    hashes = [
        text.removeprefix("--hash").lstrip("= \t") for text in options if text.startswith("--hash")
    ]
    digests = [text[7:].lower() for text in hashes if text[:7] == "sha256:"]
    if not digests:
        kind = "no sha256 hash" if hashes else "no hash"
        raise line.wrong("no-hash", f"{name} has {kind}", line.how_to_lock)
    for digest in digests:
        if not _SHA256.fullmatch(digest):
            what = f"{name} has a broken hash `sha256:{digest}`; expected 64 hexadecimal digits"
            raise line.wrong("broken-hash", what, line.how_to_lock)
    return frozenset(digests)
