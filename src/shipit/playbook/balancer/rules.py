"""Check what the keys of a load balancer say together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Loc = tuple[str | int, ...]
Contradiction = tuple[Loc, str, str]  # where, what, and what to do
KEY = "load_balancer"
COMMANDS = ("drain", "undrain")


def contradictions(values: Mapping[str, object]) -> Iterator[Contradiction]:
    balancer = values.get(KEY)
    if not isinstance(balancer, Mapping):
        return
    given = [command for command in COMMANDS if command in balancer]
    if "haproxy" in balancer:
        for command in given:
            what = f"a load balancer is a `haproxy` or has the commands, not both: `{command}`"
            yield (KEY, command), what, "remove one of the two"
    elif not given:
        hint = "haproxy: {sockets: [lb1:9999], backend: web, server: web1}; or both commands"
        yield (KEY,), "a load balancer has `haproxy`, or `drain` and `undrain`", hint
    elif len(given) == 1:
        [other] = set(COMMANDS) - set(given)
        what = f"`{given[0]}` needs `{other}` as well: each host must come back as it left"
        yield (KEY, given[0]), what, f"add `{other}`"
    if given and "wait" in balancer:
        what = "`wait` belongs to `haproxy`; here the command itself waits for connections to end"
        yield (KEY, "wait"), what, "remove it; `timeout` of `drain` limits the command"
