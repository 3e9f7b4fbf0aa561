r"""Replace secret values in texts by ***.

Promises to mask a value also in base64, URL-quoted, JSON-escaped or in the form of an env file, and
with `cut` if the end of a line cuts it in two. It can't mask values that were transformed in other
ways (hashed, compressed, reversed).

Values shorter than 4 characters are masked only as whole words: to mask every `1` would make output
unreadable and protect nothing. Both sides use this module.
"""

import base64
import json
import re
from typing import Dict, Iterable, Iterator, List, Optional, Pattern, Sequence, Tuple
from urllib.parse import quote, quote_plus

MASK = "***"
SHORT = 4  # characters; shorter values are masked as whole words only, shorter remains not at all
SHORT_PART = 8  # characters; a line of a value, or a part of its base64, is masked from here on


class Mask:
    """Masks values; built once for many texts."""

    def __init__(self, values: Iterable[str]) -> None:
        plain = set(values) - {""}
        forms = {form for value in plain if len(value) >= SHORT for form in _forms(value)}
        ordered = sorted(forms, key=len, reverse=True)
        # Of two that begin alike, the longer one first.
        words = sorted((value for value in plain if len(value) < SHORT), reverse=True)
        # journalctl and terminals show a tab as up to eight spaces.
        parts = [re.escape(form).replace("\\\t", r"(?:\t| {1,8})") for form in ordered]
        parts += [rf"(?<!\w){re.escape(word)}(?!\w)" for word in words]
        self._whole = re.compile("|".join(parts)) if parts else None
        self._ends = _Ends(ordered)

    def __call__(self, text: str) -> str:
        """Mask every value in the text."""
        return self._whole.sub(MASK, text) if self._whole else text

    def cut(self, text: str) -> str:
        """Mask every value, and the rest of a value that was cut at either end of a line.

        A bounded body, the last bytes of an output and a log's split line are cut like this.
        """
        return "\n".join(map(self._ends.masked, self(text).split("\n")))

    def __repr__(self) -> str:
        return f"Mask({MASK})"


class _Ends:
    """Finds the first part of a form at the end of a line, and its last part at the beginning."""

    def __init__(self, forms: Sequence[str]) -> None:
        self._by_head: Dict[str, List[str]] = {}
        self._by_tail: Dict[str, List[str]] = {}
        for form in forms:
            self._by_head.setdefault(form[:SHORT], []).append(form)
            self._by_tail.setdefault(form[-SHORT:], []).append(form)
        self._head, self._tail = _any_of(self._by_head), _any_of(self._by_tail)
        self._longest = max(map(len, forms), default=0)  # characters

    def masked(self, line: str) -> str:
        """Search no further from an end than the longest form: a line may be full of beginnings."""
        end = max(0, len(line) - self._longest)
        for start, head in _found(self._head, line[end:]):
            rest = line[end + start :]
            if any(form.startswith(rest) for form in self._by_head[head]):
                line = line[: end + start] + MASK
                break
        for start, tail in _found(self._tail, line[: self._longest]):
            first = line[: start + SHORT]
            if any(form.endswith(first) for form in self._by_tail[tail]):
                return MASK + line[start + SHORT :]
        return line


def _any_of(words: Iterable[str]) -> Optional[Pattern[str]]:
    pattern = "|".join(map(re.escape, words))
    return re.compile(pattern) if pattern else None


def _found(pattern: Optional[Pattern[str]], line: str) -> Iterator[Tuple[int, str]]:
    """Yield all matches of the pattern, including overlapping ones."""
    found = pattern.search(line) if pattern else None
    while pattern and found:
        yield found.start(), found.group()
        found = pattern.search(line, found.start() + 1)


def _forms(value: str) -> Iterator[str]:
    """Yield the forms that a value may have in a text."""
    lines = [line.strip() for line in value.splitlines()]
    for part in {value, *(line for line in lines if len(line) >= SHORT_PART)}:
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield repr(part)[1:-1]
        for quoted in (quote(_bytes(part), safe=""), quote(_bytes(part)), quote_plus(_bytes(part))):
            yield quoted
            yield re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), quoted)
        # The form in an env file, as shipit and shells write it.
        yield re.sub(r'(["\\`$])', r"\\\1", part)
    yield from _base64_forms(_bytes(value))


def _base64_forms(value: bytes) -> Iterator[str]:
    """Yield a value in base64: whole, and inside a longer text (three alignments)."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(value).decode()
        # As many bytes stand before it; as many characters hold bits of them.
        for offset, first in enumerate((0, 2, 3)):
            encoded = encode(bytes(offset) + value).decode()
            last = (offset + len(value)) * 8 // 6  # the next one has bits of the text after
            if last - first >= SHORT_PART:
                yield encoded[first:last]


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogatepass")
