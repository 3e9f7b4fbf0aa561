"""Check what the keys of a canary say together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shipit.playbook import parsers
from shipit.playbook.fleet.canaries import HOSTS
from shipit.playbook.parsers import InvalidValueError, is_template

Loc = tuple[str | int, ...]
Contradiction = tuple[Loc, str, str]  # where, what, and what to do

LIMITS = ("max", "min", "at_most_times")
OF_QUERY = ("query", "token", *LIMITS)
_EXAMPLE = 'command: ./errors-are-low.sh, or prometheus: "http://prom.example.com:9090"'


def contradictions(values: Mapping[str, object]) -> Iterator[Contradiction]:
    canary = values.get("canary")
    if canary is not None and values.get("confirm") == "host":
        what = "with `confirm: host` a canary is committed before anybody has observed it"
        yield ("confirm",), what, "remove one of the two"
    if not isinstance(canary, Mapping):
        return
    yield from _times(canary)
    checks = canary.get("checks")
    for index, check in enumerate(checks if isinstance(checks, list) else []):
        if isinstance(check, Mapping):
            yield from _check(("canary", "checks", index), check)
            yield from _interval(("canary", "checks", index), check, canary)


def _times(canary: Mapping[object, object]) -> Iterator[Contradiction]:
    hold, timeout = _seconds(canary.get("hold", 600.0)), _seconds(canary.get("timeout", 3600.0))
    if hold is not None and timeout is not None and hold + timeout > parsers.LONGEST:
        what = "`hold` and `timeout` together are more than a day"
        yield ("canary", "timeout" if "timeout" in canary else "hold"), what, "shorten one of them"


def _interval(
    loc: Loc, check: Mapping[object, object], canary: Mapping[object, object]
) -> Iterator[Contradiction]:
    hold, wait = _seconds(canary.get("hold", 600.0)), _seconds(canary.get("timeout", 3600.0))
    interval, timeout = _seconds(check.get("interval", 30.0)), _seconds(check.get("timeout", 10.0))
    if hold is None or wait is None or interval is None or timeout is None:
        return
    where = (*loc, "interval") if "interval" in check else loc
    if hold and interval > hold:
        what = "the `interval` is longer than the `hold`: nothing would be asked at its end"
        yield where, what, f"write an `interval` of at most {hold:g} s: it is {interval:g} s"
    elif interval + timeout > hold + wait:
        what = "the canary may end before this check has answered twice"
        fix = f"write a `timeout` of the canary of at least {interval + timeout - hold:g} s"
        yield where, what, fix


def _check(loc: Loc, check: Mapping[object, object]) -> Iterator[Contradiction]:
    kinds = [kind for kind in ("command", "prometheus") if kind in check]
    if len(kinds) != 1:
        what = f"a check of a canary has `command` or `prometheus`; found {len(kinds) or 'none'}"
        yield (*loc, kinds[1]) if kinds else loc, what, _EXAMPLE
    elif kinds == ["command"]:
        for key in OF_QUERY:
            if key in check:
                what = f"`{key}` belongs to a query, and this check is a command"
                yield (*loc, key), what, "remove it"
    else:
        yield from _query(loc, check)


def _query(loc: Loc, check: Mapping[object, object]) -> Iterator[Contradiction]:
    query = check.get("query")
    if not query:
        yield loc, "the key 'query' is missing", "query: what to ask, with one result"
    if not any(key in check for key in LIMITS):
        what = "nothing says which results pass"
        yield loc, what, "write `max`, `min` or `at_most_times`"
    if "at_most_times" not in check:
        return
    if "min" in check:
        what = "`at_most_times` is an upper limit: `min` is not compared with other hosts"
        yield (*loc, "min"), what, "make it a check of its own"
    if isinstance(query, str) and HOSTS not in query and not is_template(query):
        what = f"`at_most_times` compares hosts, and the query has no {HOSTS}"
        yield (*loc, "query"), what, f'for example instance=~"({HOSTS}):.*"'


def _seconds(value: object) -> float | None:
    """Return a duration; None where it is reported as its own mistake."""
    try:
        return parsers.duration_or_zero(value)
    except InvalidValueError:
        return None
