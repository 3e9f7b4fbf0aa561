"""What a release consists of, as written into its manifest. Values only, shared by both sides."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from .assets import Assets  # noqa: TC001 - type hints are read at run time
from .balancers import LoadBalancer  # noqa: TC001 - type hints are read at run time
from .fields import APP, COUNT, FILE_NAME, PATH, PROGRAM, RELEASE, SECONDS, SHA256, one_of
from .hooks import Hook  # noqa: TC001 - type hints are read at run time
from .migrations import Migration  # noqa: TC001 - type hints are read at run time
from .values import dataclass

RESTART, OVERLAP = "restart", "overlap"
REPORT, ROLLBACK = "report", "rollback"  # what follows a failure after the commit
KINDS = ("http", "tcp", "unix", "command")  # of health checks
PYTHONS = "/var/lib/shipit-python"  # the interpreters that came with releases, each by its sha256


@dataclass(frozen=True)
class Artifact:
    """A wheel, by its content."""

    name: str
    version: str
    filename: str = field(metadata=FILE_NAME)
    sha256: str
    size: int = field(metadata=COUNT)  # bytes


@dataclass(frozen=True)
class Signed:
    """What was signed of the bundle that a release is from: bundle.json; and its signature."""

    text: str
    signature: str  # by ssh-keygen


@dataclass(frozen=True)
class Python:
    """An interpreter that comes with the release, as an archive.

    Attributes:
        sha256: of the archive; also the name of the folder that it is unpacked to.
        program: its path in there.
        entries, unpacked: how many files, folders and links it has, and how many bytes.
    """

    version: str
    filename: str = field(metadata=FILE_NAME)
    sha256: str = field(metadata=SHA256)
    size: int = field(metadata=COUNT)
    program: str = field(metadata=PROGRAM)
    entries: int = field(metadata=COUNT)
    unpacked: int = field(metadata=COUNT)

    @property
    def archive(self) -> Artifact:
        return Artifact("python", self.version, self.filename, self.sha256, self.size)

    def path(self, pythons: str = PYTHONS) -> str:
        """Return the path of the interpreter on a host."""
        return f"{pythons}/{self.sha256}/{self.program}"


@dataclass(frozen=True)
class Rendered:
    """A rendered text file of the release; its text is sent and stored separately."""

    name: str  # a unit's name, or the path below files/
    mode: int
    sha256: str


@dataclass(frozen=True)
class EnvDigest:
    """What the manifest records of an env file: names, and a slow salted digest (scrypt)."""

    service: str
    keys: Tuple[str, ...]
    salt: str
    digest: str
    secret: Optional[Tuple[str, ...]] = None  # those of `keys` to mask; None: unknown, mask all


@dataclass(frozen=True)
class Unit:
    """A systemd unit of the release.

    Attributes:
        trial: the unit that runs it on a private socket before the switch; its text is in trial/.
        command: what a service runs, as rendered.
        listen: where a socket listens, each a port, IP:port or path.
    """

    name: str = field(metadata=FILE_NAME)
    service: str  # the playbook's name of the service it belongs to
    start: bool  # enabled, and started on activation (a timer's own service is not)
    watched: bool  # a long-running process: steady MainPID and no restarts are part of the gate
    stop_timeout: float = field(metadata=SECONDS)  # that stopping it may take
    # or OVERLAP: started beside its predecessor, which then stops
    handover: str = field(default=RESTART, metadata=one_of(RESTART, OVERLAP))
    trial: str = ""
    command: Tuple[str, ...] = ()
    listen: Tuple[str, ...] = ()


def lasting(name: str, text: str) -> str:
    """Return the part of a unit's text that needs a restart, not only `daemon-reload`.

    The service of a socket is read again while its listener stays open (seen with systemd 252).
    """
    if not name.endswith(".socket"):
        return text
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("Service="))


@dataclass(frozen=True)
class Check:
    """One health check, made on the host; `of` makes it.

    Attributes:
        target: what the playbook has: a URL, host:port, socket path or command. For reports.
        host, port: where a check of http or tcp connects.
        socket: the path of the unix socket where one of unix connects.
        url: what is requested there by HTTP; "" if connecting is the whole check.
        command: what one of command runs.
    """

    kind: str = field(metadata=one_of(*KINDS))
    target: str
    status: int = 200
    json: Optional[Dict[str, Any]] = None  # fields that must be in the answer, with these values
    body: str = ""  # a text that must be in the answer
    timeout: float = field(default=5.0, metadata=SECONDS)  # for one attempt
    via: str = ""  # where to connect instead: host:port or the path of a unix socket
    headers: Optional[Dict[str, str]] = None  # of an HTTP request; Host is the name it asks for
    host: str = ""
    port: int = 0
    socket: str = ""
    url: str = ""
    command: Tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, target: str, **rest: Any) -> Check:
        """Return a check of what the playbook has, which is read here once."""
        return cls(kind, target, **rest, **_destination(kind, target))

    @staticmethod
    def upgraded(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of a check as `codec` reads them: earlier versions wrote the target."""
        if fields.keys() & {"host", "socket", "command"}:
            return fields
        kind, target = str(fields.get("kind")), str(fields.get("target"))
        return {**fields, **_destination(kind, target)}


def _destination(kind: str, target: str) -> Dict[str, Any]:
    """Return the fields of a check that its target determines."""
    if kind == "command":
        return {"command": tuple(shlex.split(target))}
    if kind == "unix":
        path, _, page = target.partition(":")
        return {"socket": path, "url": f"http://localhost{page}" if page else ""}
    if kind == "http":
        parts = urlsplit(target)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return {"host": parts.hostname or "", "port": port, "url": target}
    if kind == "tcp":
        name, _, number = target.rpartition(":")
        return {"host": name.strip("[]"), "port": int(number)}
    raise ValueError(f"a check of the unknown kind {kind}")


@dataclass(frozen=True)
class Gate:
    """When a release counts as healthy. All in seconds."""

    checks: Tuple[Check, ...]
    interval: float = field(metadata=SECONDS)
    deadline: float = field(metadata=SECONDS)
    min_healthy: float = field(metadata=SECONDS)
    # how long it is observed afterwards, under live traffic
    bake: float = field(default=0.0, metadata=SECONDS)


@dataclass(frozen=True)
class Watch:
    """How a release is watched after its commit.

    Attributes:
        seconds: how long, from its commit on; 0 for at boot alone.
        every: seconds between two looks.
        on_failure, at_boot: what follows a failure in that time, or of the first looks of a boot.
    """

    seconds: float = field(metadata=SECONDS)
    every: float = field(metadata=SECONDS)
    on_failure: str = field(default=REPORT, metadata=one_of(REPORT, ROLLBACK))
    at_boot: str = field(default=REPORT, metadata=one_of(REPORT, ROLLBACK))


@dataclass(frozen=True)
class Manifest:
    """A whole release, as written into its directory: all that a rollback needs to know."""

    id: str = field(metadata=RELEASE)
    app: str = field(metadata=APP)
    version: str
    root: str = field(metadata=PATH)
    user: str
    interpreter: str  # the path of the Python for the venv
    installer: str  # uv or pip
    installer_wheel: Artifact
    app_wheel: Artifact
    wheels: Tuple[Artifact, ...]
    requirements: str  # name==version --hash=... lines for the installer
    bundle: str  # digest of all wheels
    units: Tuple[Unit, ...]
    texts: Tuple[Rendered, ...]  # digests of units/<name> and files/<dest>, by path in the release
    env: Tuple[EnvDigest, ...]
    gate: Gate
    smoke: Tuple[str, ...]  # argv; the first word is looked up in the venv
    keep_releases: int = field(metadata=COUNT)
    created: str  # ISO 8601, UTC
    created_by: str
    # for an adopted release the former target of `current`, "" for none; None for others
    adopted: Optional[str] = None
    python: Optional[Python] = None  # the interpreter, unless it is the host's own
    hooks: Tuple[Hook, ...] = ()
    migration: Optional[Migration] = None
    balancer: Optional[LoadBalancer] = None  # that sends requests to the host
    assets: Optional[Assets] = None
    watch: Optional[Watch] = None

    @property
    def target(self) -> str:
        """The target of `current` while this release runs; "" for none."""
        return f"releases/{self.id}" if self.adopted is None else self.adopted

    def artifacts(self) -> Tuple[Artifact, ...]:
        """Return the wheels, which stay on the host as blobs."""
        return (self.installer_wheel, self.app_wheel, *self.wheels)

    def sent(self) -> Tuple[Artifact, ...]:
        """Return everything that a host needs as a blob at first."""
        return (*self.artifacts(), *([self.python.archive] if self.python else []))

    def listen(self, service: str) -> Tuple[str, ...]:
        """Return where systemd listens for a service."""
        return next((u.listen for u in self.units if u.service == service and u.listen), ())
