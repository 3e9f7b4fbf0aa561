r"""Make text safe to show by escaping the characters that control a terminal.

No text, from any source, can move the cursor, clear the screen, set the clipboard, change the
reading direction or hide a character: such characters become `\x1b`, `\u202e` and the like.
Letters of every script stay as they are.
"""

from __future__ import annotations

import unicodedata

_LAYOUT = frozenset("\n\t")
# Control, format (bidi overrides, zero width), halves of surrogate pairs, line and paragraph ends.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """Escape all control characters of a text except newlines and tabs."""
    return _shown(text.replace("\r\n", "\n"), _LAYOUT)


def one_line(text: str) -> str:
    """Escape all control characters of a text, newlines and tabs included."""
    return _shown(text, frozenset())


def _shown(text: str, kept: frozenset[str]) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char in kept or unicodedata.category(char) not in _STEERING else _escaped(char)
        for char in text
    )


def _escaped(char: str) -> str:
    number = ord(char)
    if number < 0x100:  # noqa: PLR2004 - the lengths of Python's own escapes
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004
