"""Write the playbook, the inventory and the lines for .gitignore as texts. Pure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from shipit import yaml_source
from shipit.project.source import LOCKS, REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shipit.init.findings import Guess, Service, Setup

PLAYBOOK, INVENTORY, GITIGNORE = "prod.yaml", "inventory.yaml", ".gitignore"
IGNORED = ("/prod.env",)  # the variables of production, where a playbook's `env_file` names them
# What a project that is shipped as it is keeps to itself: a change in them is no new release.
OWN_FILES = (PLAYBOOK, INVENTORY)
_PLAIN = re.compile(r"[A-Za-z/.][A-Za-z0-9_./()=@+ -]*(?::[A-Za-z0-9_./()=@+-][^#:]*)*")
_WIDEST = 48  # columns of a line whose comment is aligned with the others'

Row = tuple[str, str]  # a line, and its comment


def playbook(setup: Setup, group: str) -> str:
    """Return the playbook for a setup, deployed to a group of the inventory."""
    app = setup.app.value
    rows: list[Row] = [
        (f"# How {app} is deployed: shipit deploy {PLAYBOOK}", ""),
        ("# All keys that there are: shipit schema", ""),
        (f"hosts: {_scalar(group)}", "a group of the inventory"),
        (f"app: {_scalar(app)}", f"names /opt/{app} and the units, {app}-*.service"),
        *_source(setup),
        ("services:", ""),
        *(row for service in setup.services for row in _service(service)),
        *_environment(setup),
        *_health(setup),
        ('serial: [1, "100%"]', "one host first, then all others"),
    ]
    return _aligned(rows)


def _source(setup: Setup) -> Iterator[Row]:
    comment = "its wheel is built at each deploy"
    if setup.project.place is None:
        comment = "no build system: shipped as it is"
    keys = {
        "package": _names([setup.package] if setup.package else [])[:1],
        "groups": _names(setup.groups),
        "extras": _names(setup.extras),
        "include": _names([setup.include] if setup.include else []),
        "exclude": [] if setup.project.place else list(OWN_FILES),
    }
    given = {key: names for key, names in keys.items() if names}
    if not given:
        yield "project: .", comment
    else:
        yield "project:", comment
        yield "  path: .", ""
        for key, names in given.items():
            value = _scalar(names[0]) if key == "package" else _list(names)
            yield f"  {key}: {value}", _COMMENTS.get(key, "")
    if setup.lock and setup.lock.value not in (*LOCKS, *REQUIREMENTS):  # found without
        yield f"lock: {_scalar(setup.lock.value)}", "versions and hashes of all dependencies"
    if setup.python:
        yield f"python: {_scalar(setup.python.value)}", "which Pythons of a host will do"


_COMMENTS = {
    "package": "the member of the workspace that runs",
    "groups": "installed as well",
    "extras": "installed as well",
    "include": "shipped although git ignores it",
    "exclude": "a change in these is no new release",
}


def _environment(setup: Setup) -> Iterator[Row]:
    if setup.env_file:
        yield f"env_file: {_scalar(setup.env_file.value)}", "read here; its values are never shown"
    if setup.secrets:
        yield "secrets:", "from your environment at each deploy; never shown"
        for secret in setup.secrets:
            yield f"  {secret.value}: env:PROD_{secret.value}", ""


def _service(service: Service) -> Iterator[Row]:
    place = service.guess.place
    line = f"    {service.key}: {_scalar(service.guess.value)}"
    yield f"  {_scalar(service.name)}:", ""
    yield line, f"from {place}" if place and len(line) <= _WIDEST else ""
    if service.port:
        yield f"    socket: {service.port}", "systemd listens, so that no request is lost"


def _health(setup: Setup) -> Iterator[Row]:
    if setup.health is None:
        return
    port = setup.port.value if setup.port else ""
    yield "health:", "what must answer, or the release is rolled back"
    if not setup.health.value:
        yield f"  - tcp: {port}", "better: a page, such as http: http://127.0.0.1:8000/healthz"
        return
    url = f"http://127.0.0.1:{port}{setup.health.value}"
    yield f"  - http: {json.dumps(url)}", ""
    if setup.health_host:
        yield f"    host: {_scalar(setup.health_host.value)}", "one of ALLOWED_HOSTS"


def inventory(hosts: Sequence[str], group: str) -> str:
    """Return an inventory of some hosts, or one to be filled in."""
    listed = [(f"    {_scalar(host)}:", "") for host in hosts] or [
        ("    # web1.example.com:", "remove the # and write the names of your hosts"),
        ("    # web2.example.com: {ansible_host: 203.0.113.12, ansible_port: 2222}", ""),
    ]
    rows: list[Row] = [
        ("# Where it is deployed to, in Ansible's format.", ""),
        (f"{group}:", ""),
        ("  hosts:", ""),
        *listed,
        ("  vars:", ""),
        ("    ansible_user: deploy", "logs in as this user ..."),
        ("    ansible_become: true", "... and works as root by sudo"),
        ("    # ansible_ssh_private_key_file: ~/.ssh/id_ed25519", ""),
    ]
    return _aligned(rows)


def missing_lines(text: str, wanted: Iterable[str]) -> list[str]:
    """Return the lines that a .gitignore does not have yet, in whatever form."""
    known = {line.strip().strip("/") for line in text.splitlines()}
    return [line for line in wanted if line.strip("/") not in known]


def _names(guesses: Iterable[Guess]) -> list[str]:
    return [guess.value for guess in guesses]


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(map(_scalar, names))}]"


def _scalar(text: str) -> str:
    """Return a text as YAML; in quotes where it would be something else without."""
    is_text = _PLAIN.fullmatch(text) and yaml_source.parse(Path(), text).value == text
    return text if is_text else json.dumps(text)


def _aligned(rows: Sequence[Row]) -> str:
    """Return lines with their comments in one column."""
    commented = [len(line) for line, comment in rows if comment and len(line) <= _WIDEST]
    column = max(commented, default=0)
    lines = (f"{line.ljust(column)}  # {comment}" if comment else line for line, comment in rows)
    return "".join(f"{line}\n" for line in lines)
