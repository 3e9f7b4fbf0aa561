"""Find shell syntax in a command that is run without a shell. Pure."""

from __future__ import annotations

import re
import shlex

_OPERATOR = re.compile(r"\|{1,2}&?|&{1,2}|;|\d?(?:>{1,2}|<{1,3})(?:&\d|&-)?[^=]*|&>{1,2}.*")
_ENDS = re.compile(r"[^=\\]+;")
_SUBSTITUTION = re.compile(r"\$\(|`")
NO_SHELL = "there is no shell: use /bin/sh -c '...'"


def shell_word(command: str) -> str:
    """Return the first word that has a meaning only in a shell, or ""; quoted words are literal."""
    try:
        words = shlex.split(command, posix=False)
    except ValueError:  # an unclosed quote is reported as its own mistake
        return ""
    plain = [word for word in words[1:] if not word.startswith(("'", '"'))]
    first = [word for word in words[:1] if _ENDS.fullmatch(word)]
    found = [w for w in plain if _OPERATOR.fullmatch(w) or _ENDS.fullmatch(w)]
    found += [w for w in plain if _SUBSTITUTION.search(w)]
    return next(iter([*first, *found]), "")
