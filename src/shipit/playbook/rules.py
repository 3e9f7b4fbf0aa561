"""Check combinations of the keys of a playbook. Pure.

Works on the values as written, so that its findings are reported together with those about single
values; it skips values of a wrong type and templates that are not yet rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shipit.agent.protocol.manifest import KINDS, RESTART
from shipit.playbook import parsers, paths
from shipit.playbook.balancer import rules as balancer
from shipit.playbook.canary import rules as canary
from shipit.playbook.hooks import rules as hooks
from shipit.playbook.parsers import InvalidValueError, is_template
from shipit.servers import serving

Loc = tuple[str | int, ...]
CHECKS = (*KINDS, "unit")
# What a release without a `project` is made from, each with an example.
_FOLDER = {
    "wheel": "wheel: the app's wheel, such as wheel: dist/demoapp-1.4.0-py3-none-any.whl",
    "lock": "lock: the versions and hashes of all dependencies, such as lock: uv.lock",
    "wheelhouse": "wheelhouse: the folder with the wheels of the lock; `project: ..` needs none",
}
_OF_HTTP = ("status", "json", "body", "host", "headers")


@dataclass(frozen=True)
class RuleViolation:
    """A contradiction: its path, and what to do about it."""

    loc: Loc
    what: str
    hint: str = ""
    code: str = "playbook-contradiction"


def findings(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    yield from _hosts(values)
    yield from _sources(values)
    yield from _python(_mapping(values.get("python")))
    yield from _env(values)
    yield from _files(values)
    for name, service in _services(values).items():
        yield from _service(("services", name), service)
    yield from _sockets(values)
    yield from _health(values)
    yield from _limits(values)
    for contradictions in (hooks.contradictions, balancer.contradictions, canary.contradictions):
        yield from (RuleViolation(*found) for found in contradictions(values))
    yield from _assets(_mapping(values.get("assets")), values.get("keep_releases", 5))


def _hosts(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    if is_template(values.get("hosts")):
        what = "`hosts` can't contain a template: variables are known only after the hosts"
        yield RuleViolation(("hosts",), what, "write a pattern, and narrow it with --limit")


def _sources(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    """Check that the release has one source: a project, a bundle, or a wheel with what it needs."""
    found = [key for key in ("project", "bundle", "wheel") if key in values]
    for key in found[1:]:
        what = f"a release is made from a `{found[0]}` or from a `{key}`, not from both"
        yield RuleViolation((key,), what, "remove one of the two")
    if len(kinds := [key for key in ("path", "url") if key in _mapping(values.get("bundle"))]) > 1:
        what = "a bundle has a `path` or a `url`, not both"
        yield RuleViolation(("bundle", kinds[1]), what, "remove one of the two")
    if isinstance(values.get("bundle"), Mapping) and not kinds:
        hint = "path: dist/demoapp-1.4.0.shipit, or url: s3://releases/demoapp-1.4.0.shipit"
        what = "the key 'path' or 'url' is missing in bundle"
        yield RuleViolation(("bundle",), what, hint, "playbook-missing-key")
    if found and found[0] != "wheel":
        return
    if not any(key in values for key in _FOLDER):
        hint = "project: the folder of the app's pyproject.toml, such as project: .."
        yield RuleViolation((), "the key 'project' is missing", hint, "playbook-missing-key")
        return
    for key, hint in _FOLDER.items():
        if key not in values:
            what = f"the key '{key}' is missing"
            yield RuleViolation((), what, hint, "playbook-missing-key")


def _python(python: Mapping[object, object]) -> Iterator[RuleViolation]:
    if python.get("archives") and python.get("source", "host") == "host":
        what = "`archives` needs `source: bundle`; here the host's own Python is used"
        yield RuleViolation(
            ("python", "archives"), what, "write `source: bundle`, or remove `archives`"
        )


def _env(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    secrets = _mapping(values.get("secrets"))
    sources: list[tuple[Loc, Mapping[object, object]]] = [(("env",), _mapping(values.get("env")))]
    for name, service in _services(values).items():
        sources.append((("services", name, "env"), _mapping(service.get("env"))))
    for loc, env in sources:
        for key in env:
            if isinstance(key, str) and key in secrets:
                what = f"{key} is in `secrets` as well"
                yield RuleViolation((*loc, key), what, "keep one of the two")


def _files(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    seen: dict[str, int] = {}
    files = values.get("files")
    for index, file in enumerate(files if isinstance(files, list) else []):
        dest = _mapping(file).get("dest")
        if is_template(dest) or not _is_fit(paths.destination, dest):
            continue
        dest = str(dest)
        for other, first in seen.items():
            if dest == other or dest.startswith(f"{other}/") or other.startswith(f"{dest}/"):
                what = f"dest {dest!r} collides with {other!r} of files[{first}]"
                hint = "each file needs its own path"
                yield RuleViolation(("files", index, "dest"), what, hint)
        seen.setdefault(dest, index)


def _service(loc: Loc, service: Mapping[object, object]) -> Iterator[RuleViolation]:
    if not any(service.get(key) for key in ("serve", "command", "unit")):
        what = f"the key 'serve' or 'command' is missing in services.{loc[-1]}"
        hint = (
            "for example serve: uvicorn demoapp.main:app, or command: demoapp-worker --queue mail"
        )
        yield RuleViolation(loc, what, hint, "playbook-missing-key")
    if service.get("serve"):
        yield from _serve(loc, service)
    if service.get("timer") and service.get("socket"):
        what = "a service has a `socket` or a `timer`, not both"
        yield RuleViolation((*loc, "timer"), what, "make the job a service of its own")
    for key in ("handover", "instances") if service.get("timer") else ():
        if key in service:
            what = f"a job with a `timer` has no `{key}`: it is switched between two runs"
            yield RuleViolation((*loc, key), what, "remove it")
    address = service.get("socket")
    if not is_template(address) and not str(address or "").startswith("/"):
        for key in ("socket_mode", "socket_user", "socket_group"):
            if key in service:
                what = f"`{key}` belongs to a unix socket, and this service has none"
                yield RuleViolation((*loc, key), what, "remove it, or make `socket` a path")
    restart = service.get("restart")
    if service.get("timer") and restart in ("always", "on-success"):
        what = f"a job with a `timer` can't have `restart: {restart}`: it would never end"
        yield RuleViolation((*loc, "restart"), what, "remove it, or write on-failure")


def _serve(loc: Loc, service: Mapping[object, object]) -> Iterator[RuleViolation]:
    if service.get("command"):
        what = "a service has `serve` or `command`, not both"
        yield RuleViolation(
            (*loc, "command"), what, "`serve` becomes the command: keep one of the two"
        )
    if service.get("timer"):
        what = "a job with a `timer` ends, and a server does not"
        yield RuleViolation((*loc, "timer"), what, "write its `command`, or remove the `timer`")
    line = service["serve"]
    if is_template(line) or not _is_fit(parsers.serve, line):
        return
    server = str(line).split()[0]
    if service.get("socket") and not serving.listens(str(line)):
        what = f"{server} takes its work from a broker: it has no use for a `socket`"
        yield RuleViolation((*loc, "socket"), what, "remove it")
    if not serving.is_single(str(line)):
        return
    for key, only in (("handover", RESTART), ("instances", 1)):
        value = service.get(key, only)
        if value != only and not is_template(value):
            what = f"two of {server} at once would send every task twice"
            yield RuleViolation((*loc, key), what, f"remove it: `{key}` is {only}")


def _sockets(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    seen: dict[str, str] = {}
    for name, service in _services(values).items():
        address = service.get("socket")
        if not isinstance(address, (str, int)) or is_template(address) or not address:
            continue
        if str(address) in seen:
            what = f"the service {seen[str(address)]} already listens on {address}"
            yield RuleViolation(
                ("services", name, "socket"), what, "give each service its own address"
            )
        seen.setdefault(str(address), name)


def _health(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    written = values.get("health")
    health = _mapping(written if isinstance(written, Mapping) else {"checks": written})
    checks = health.get("checks")
    for index, check in enumerate(checks if isinstance(checks, list) else []):
        if isinstance(check, Mapping):
            loc = ("health", "checks", index)
            yield from _check(loc, check)
            yield from _unit_check(loc, check, values)
    yield from _times(health)


def _check(loc: Loc, check: Mapping[object, object]) -> Iterator[RuleViolation]:
    kinds = [kind for kind in CHECKS if kind in check]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        what = f"a check has exactly one of {', '.join(CHECKS)}; found {found}"
        hint = 'for example: - {http: "http://127.0.0.1:8000/healthz"}'
        yield RuleViolation((*loc, kinds[1]) if kinds else loc, what, hint)
        return
    if "host" in check:
        for key in _mapping(check.get("headers")):
            if str(key).lower() == "host":
                what = "the Host header is set in both `host` and `headers`"
                yield RuleViolation((*loc, "headers", str(key)), what, "keep one of the two")
    if not _is_http(check):
        for key in _OF_HTTP:
            if key in check:
                what = f"`{key}` belongs to an http check, this one is {kinds[0]}"
                hint = "unix: PATH:/page requests a page" if kinds == ["unix"] else "remove it"
                yield RuleViolation((*loc, key), what, hint)


def _is_http(check: Mapping[object, object]) -> bool:
    unix = str(check.get("unix", ""))
    return "http" in check or ":" in unix or is_template(unix)


def _unit_check(
    loc: Loc, check: Mapping[object, object], values: Mapping[str, object]
) -> Iterator[RuleViolation]:
    unit, services = check.get("unit"), _services(values)
    if not isinstance(unit, str) or is_template(unit) or not services:
        return
    running = [name for name, service in services.items() if not service.get("timer")]
    if unit not in running:
        what = f"`unit: {unit}` is no long-running service of this playbook"
        yield RuleViolation((*loc, "unit"), what, f"known: {', '.join(running) or 'none'}")


def _times(health: Mapping[object, object]) -> Iterator[RuleViolation]:
    times = [health.get("deadline", "60s"), health.get("min_healthy", "1s")]
    if not all(_is_fit(parsers.duration_or_zero, time) for time in times):
        return
    deadline, steady = (parsers.duration_or_zero(time) for time in times)
    if not deadline:
        return  # reported as its own mistake
    if steady >= deadline:
        what = f"min_healthy ({steady:g} s) is not shorter than the deadline ({deadline:g} s)"
        key = "min_healthy" if "min_healthy" in health else "deadline"
        hint = "no release could ever become healthy: make the deadline longer"
        yield RuleViolation(("health", key), what, hint)


def _limits(values: Mapping[str, object]) -> Iterator[RuleViolation]:
    if "max_failures" in values and "max_fail_percentage" in values:
        what = "`max_failures` and `max_fail_percentage` both say how many hosts may fail"
        hint = "keep one of the two; `max_unreachable` is for unreachable hosts"
        yield RuleViolation(("max_failures",), what, hint)


def _assets(assets: Mapping[object, object], keep_releases: object) -> Iterator[RuleViolation]:
    if not assets:
        return
    if "from" in assets and "command" in assets:
        what = "assets are taken `from` a folder, or a `command` makes them, not both"
        yield RuleViolation(("assets", "command"), what, "keep one of the two")
    if "from" not in assets and "command" not in assets:
        hint = "from: demoapp:static, or command: django-admin collectstatic --noinput"
        what = "the key 'from' or 'command' is missing in assets"
        yield RuleViolation(("assets",), what, hint, "playbook-missing-key")
    if "timeout" in assets and "from" in assets and "command" not in assets:
        what = "`timeout` belongs to the `command` of assets, and these have none"
        yield RuleViolation(("assets", "timeout"), what, "remove it")
    keep = assets.get("keep")
    if isinstance(keep, int) and isinstance(keep_releases, int) and keep > keep_releases:
        what = f"assets of {keep} releases are to be kept, but only {keep_releases} releases are"
        yield RuleViolation(("assets", "keep"), what, f"write `keep_releases: {keep}` as well")


def _is_fit(read: Callable[[object], object], value: object) -> bool:
    """Whether a value is valid by itself; otherwise that is reported as its own mistake."""
    try:
        read(value)
    except InvalidValueError:
        return False
    return True


def _services(values: Mapping[str, object]) -> dict[str, Mapping[object, object]]:
    services = _mapping(values.get("services"))
    return {
        name: service
        for name, service in services.items()
        if isinstance(name, str) and isinstance(service, Mapping)
    }


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}
