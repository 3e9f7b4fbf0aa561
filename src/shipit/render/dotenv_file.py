"""Read dotenv files with python-dotenv's parser, and reject what it would skip or guess.

A variable has the value that is written in the file: nothing is expanded, neither from this
machine's environment nor from the file, and a `$` stays a `$`. All mistakes of a file are reported
together, by line; they show the names of its variables and nothing else of its text.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

from shipit import vault
from shipit.errors import InputError, Mistake, Place, nearest
from shipit.render.env_file import faults
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from dotenv.parser import Binding

LARGEST = 256 * 1024  # bytes; twice what Linux passes on in one variable
MOST_REPORTED = 20  # mistakes of one file: with more it is no dotenv file
_REFERENCE = re.compile(r"\$\{[A-Za-z_]")
_IN_SINGLE_QUOTES = re.compile(r"\s*[^=]*=\s*'")


def read(path: Path, public: Collection[str] = ()) -> dict[str, str | Secret]:
    """Return the variables of a dotenv file; all but the public ones are secrets.

    Raises:
        InputError: file-missing, file-unreadable, or env-file for its content.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    mistakes: list[Mistake] = []
    for binding in parse_stream(io.StringIO(_text(path), newline=None)):
        # The parser counts from the empty lines before a statement.
        source = binding.original.string
        line = binding.original.line + source[: len(source) - len(source.lstrip())].count("\n")
        if fault := next(_faults(binding, lines), None):
            mistakes.append(Mistake("env-file", fault[0], Place(str(path), line), fault[1]))
            if len(mistakes) == MOST_REPORTED:
                break
        elif binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
            lines[binding.key] = line
    for name in public if not mistakes else ():
        if name not in values:
            what = f"`public:` in the playbook names {name}, which this file does not have"
            hint = nearest(name, values) or "take it out of `public:`, or put it into the file"
            mistakes.append(Mistake("env-file", what, Place(str(path)), hint))
    if mistakes:
        raise InputError(*mistakes)
    return {name: text if name in public else Secret(text) for name, text in values.items()}


def _text(path: Path) -> str:
    place = Place(str(path))
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        hint = "paths are relative to the playbook"
        raise InputError(Mistake("file-missing", "the file does not exist", place, hint)) from error
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        raise InputError(Mistake("file-unreadable", what, place)) from error
    if len(raw) > LARGEST:
        what = f"the file is larger than {LARGEST // 1024} KiB: too much for variables"
        raise InputError(Mistake("env-file", what, place, "ship it as a file instead: `files:`"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        place = Place(str(path), raw[: error.start].count(b"\n") + 1)
        # `from None`: the cause contains the file's text.
        raise InputError(Mistake("env-file", what, place, "save the file as UTF-8")) from None
    if vault.is_encrypted(text):
        hint = 'decrypt it; or use variables of the vault: `secrets: {NAME: "{{ variable }}"}`'
        raise InputError(Mistake("env-file", "ansible-vault has encrypted this file", place, hint))
    return text


def _faults(binding: Binding, lines: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a statement, and a hint.

    A line that is not an assignment is not shown: it may be a secret, or a part of one.
    """
    name, value = binding.key, binding.value
    if binding.error:
        what = "expected NAME=value, with every quote closed and nothing but a comment after it"
        yield what, "put a value in quotes that has spaces at its ends, ` #` or several lines"
    elif name is None:
        return
    elif value is None:
        hint = (
            "write NAME=value, or NAME= for an empty one; nothing comes from your own environment"
        )
        yield "expected NAME=value; there is no = in this line", hint
    elif not (name.isascii() and name.isidentifier()):
        yield "the name before = is not one of letters, digits and _", "give it another name"
    elif name in lines:
        yield f"{name} is given twice: first in line {lines[name]}", "keep one of the two"
    elif _REFERENCE.search(value) and not _IN_SINGLE_QUOTES.match(binding.original.string):
        hint = "nothing is expanded: write the value out; in single quotes ${...} stays as it is"
        yield f"the value of {name} refers to another variable, by ${{...}}", hint
    else:
        yield from ((f"the variable {name} {what}", hint) for what, hint in faults(name, value))
