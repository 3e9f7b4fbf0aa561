"""Check what the keys of the hooks of a playbook say together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Loc = tuple[str | int, ...]
Contradiction = tuple[Loc, str, str]  # where, what, and what to do

COMMITTED_ALREADY = ("after_activate", "before_commit")


def contradictions(values: Mapping[str, object]) -> Iterator[Contradiction]:
    hooks = values.get("hooks")
    for index, hook in enumerate(hooks if isinstance(hooks, list) else []):
        if isinstance(hook, Mapping):
            yield from _hook(("hooks", index), hook, values)


def _hook(
    loc: Loc, hook: Mapping[object, object], values: Mapping[str, object]
) -> Iterator[Contradiction]:
    when, run = hook.get("when"), hook.get("run", "each")
    if when == "before_stage" and run in ("each", "once"):
        what = "`before_stage` runs on the controller: the release is not on a host then"
        hint = "write `run: controller`, or `when: staged`"
        yield (*loc, "when"), what, hint
    if run == "controller" and "user" in hook:
        what = "a hook on the controller runs as the user who deploys, and has no `user`"
        yield (*loc, "user"), what, "remove it"
    if run == "controller" and when in COMMITTED_ALREADY and values.get("confirm") == "host":
        what = f"with `confirm: host` the hosts have committed before the controller's `{when}`"
        hint = "write `when: after_commit`, or run the hook on `each` host"
        yield (*loc, "when"), what, hint
