r"""Read back the env files that systemd reads: the inverse of the controller's encoder.

Grammar (systemd.exec(5), EnvironmentFile=, as systemd's env-file.c has it): `KEY=value` lines; a
value in double quotes may span lines, and a backslash in it escapes only `"`, `\`, a backtick, `$`
and (to nothing) a newline, and stays otherwise. Lines that begin with `#` or `;` are comments.
Single quotes take everything literally. An unquoted value ends with its line and loses the spaces
around it.
"""

from typing import Dict, Mapping, Tuple

ESCAPABLE = '"\\`$'


def parse(text: str) -> Dict[str, str]:
    """Return the variables of an env file; skip what is no assignment."""
    values: Dict[str, str] = {}
    position = 0
    while position < len(text):
        line_end = _line_end(text, position)
        equals = text.find("=", position, line_end)
        if equals < 0 or text[position] in "#;\n":
            position = line_end + 1
            continue
        key = text[position:equals].strip()
        values[key], position = _value(text, equals + 1)
    return values


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _value(text: str, position: int) -> Tuple[str, int]:
    """Return the value that starts at `position`, and where the next line starts."""
    if text[position : position + 1] == '"':
        value, position = _double_quoted(text, position + 1)
        return value, _line_end(text, position) + 1
    if text[position : position + 1] == "'":
        end = text.find("'", position + 1)
        end = len(text) if end < 0 else end
        return text[position + 1 : end], _line_end(text, end) + 1
    end = _line_end(text, position)
    return text[position:end].strip(), end + 1


def _double_quoted(text: str, position: int) -> Tuple[str, int]:
    parts = []
    while position < len(text) and text[position] != '"':
        character, escaped = text[position], text[position + 1 : position + 2]
        if character != "\\":
            parts.append(character)
            position += 1
            continue
        if escaped in ESCAPABLE:
            parts.append(escaped)
        elif escaped != "\n":
            parts.append("\\" + escaped)
        position += 2
    return "".join(parts), position + 1


def merged(texts: Mapping[str, str]) -> Dict[str, str]:
    """Return the variables of all services' env files together."""
    values: Dict[str, str] = {}
    for _service, text in sorted(texts.items()):
        values.update(parse(text))
    return values
