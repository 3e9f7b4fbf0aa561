"""The layout of all paths on a host."""

import os

from ..protocol.values import dataclass

VAR = "/var/lib/shipit"
UNITS = "/etc/systemd/system"
RUNTIME_UNITS = "/run/systemd/system"
TIMER_STAMPS = "/var/lib/systemd/timers"
SIGNERS = "/etc/shipit/allowed_signers"


class At:
    """A path below one of the fields of its object: `At("var", "txn", "{app}.lease")`."""

    def __init__(self, field: str, *names: str) -> None:
        self._field, self._names = field, names

    def __get__(self, owner: object, _type: object = None) -> str:
        fields = vars(owner)
        names = (name.format_map(fields) for name in self._names)
        return os.path.join(fields[self._field], *names)


@dataclass(frozen=True)
class Paths:
    """The paths of one app on this host."""

    app: str
    root: str  # /opt/<app>
    var: str = VAR
    units: str = UNITS
    runtime_units: str = RUNTIME_UNITS  # a reboot removes these
    timer_stamps: str = TIMER_STAMPS
    signers: str = SIGNERS  # of an administrator: only what they have signed is taken

    # --- of the app ---
    current = At("root", "current")
    releases = At("root", "releases")
    shared = At("root", "shared")
    ledger = At("root", "ledger.jsonl")
    migrations = At("root", "migrations.jsonl")
    # What clients find: a link to a view of the static files of some releases.
    assets = At("root", "assets")
    views = At("root", ".assets")
    # Releases that are being removed; on the file system of releases/.
    marked = At("root", ".doomed")

    # --- of all apps ---
    agents = At("var", "agent")
    apps = At("var", "apps")  # a file for each app that this host ever had, with its root
    blobs = At("var", "blobs", "sha256")
    tools = At("var", "tools")
    wheels = At("var", "wheels")  # links to blobs under the names of wheels
    uv_cache = At("var", "uv-cache")
    uv_cache_lock = At("var", "uv-cache.lock")
    uv_cache_mark = At("var", "uv-cache.dirty")  # present while the cache is not to be trusted
    # Interpreters that came with releases, each in a folder of its digest. Services run them, and
    # nobody else may enter `var`, so they lie beside it.
    python_unpack_lock = At("var", "python-unpack.lock")  # by who unpacks one
    python_lock = At("var", "python.lock")  # shared to compare one, exclusively to replace one
    # Shared by sessions that use blobs, exclusive for removing some.
    store_lock = At("var", "store.lock")

    controls = At("var", "controls", "{app}.jsonl")  # what operators have said of its deploys

    # The committed release that the host watches, and what its watch has found.
    watch = At("var", "watch", "{app}.json")
    watch_found = At("var", "watch", "{app}.found.json")

    # --- of its transaction ---
    journal = At("var", "txn", "{app}.json")
    unreadable = At("var", "txn", "{app}.json.unreadable")  # a journal, kept for an operator
    # Held by the session that stages and follows: one deploy at a time.
    session_lock = At("var", "txn", "{app}.session.lock")
    # Held by the process that drives the transaction, in its own unit.
    txn_lock = At("var", "txn", "{app}.txn.lock")
    verdict = At("var", "txn", "{app}.verdict")  # created by link(2): the first verdict wins
    lease = At("var", "txn", "{app}.lease")
    drained = At("var", "txn", "{app}.drained")  # while this host is out of its load balancer
    events = At("var", "txn", "{app}.events")  # the event log, a frame header a line

    # The unit that settles an interrupted transaction at boot, and the link that enables it;
    # present while one is armed. No app's name leads to the same unit name, as none has an @.
    boot_unit = At("units", "shipit-recover@{app}.service")
    boot_link = At("units", "multi-user.target.wants", "shipit-recover@{app}.service")
    # Its name in earlier versions, which an app's driver may have as well.
    old_boot_unit = At("units", "shipit-recover-{app}.service")

    # The unit that watches the committed release, at each boot as well.
    watch_unit = At("units", "shipit-watch@{app}.service")

    @property
    def unit(self) -> str:
        """The transient unit that drives the transaction; its name is unique on the host."""
        return f"shipit-{self.app}.service"

    @property
    def hook_unit(self) -> str:
        """The transient unit of a hook, one at a time; no app's name contains a dot."""
        return f"shipit-hook.{self.app}.service"

    @property
    def pythons(self) -> str:
        return self.var + "-python"

    def python(self, sha256: str) -> str:
        """The folder of an interpreter."""
        return os.path.join(self.pythons, sha256)

    def python_record(self, sha256: str) -> str:
        """What is in that folder; written last, and its mtime is that of the last verification."""
        return os.path.join(self.pythons, sha256 + ".json")

    def python_damaged(self, sha256: str) -> str:
        """The name of that record once the folder differs from it."""
        return self.python_record(sha256) + ".damaged"

    def release(self, release: str) -> "ReleasePaths":
        return ReleasePaths(os.path.join(self.releases, release))

    def blob(self, sha256: str) -> str:
        return os.path.join(self.blobs, sha256)

    def incoming(self, sha256: str) -> str:
        """An incoming blob; it becomes a blob once its digest is verified."""
        return os.path.join(self.var, "incoming", sha256)

    def timer_stamp(self, timer: str) -> str:
        """The stamp of Persistent=yes: its mtime is the timer's last run."""
        return os.path.join(self.timer_stamps, f"stamp-{timer}")

    def wants(self, unit: str) -> str:
        """The link that enables a unit for the boot."""
        return os.path.join(self.units, "multi-user.target.wants", os.path.basename(unit))


@dataclass(frozen=True)
class ReleasePaths:
    """The paths inside one release's directory, immutable once staged."""

    top: str

    manifest = At("top", "manifest.json")
    verified_stamp = At("top", "proven")  # empty; its mtime is the release's last verification
    venv = At("top", "venv")
    python = At("top", "venv", "bin", "python")
    units = At("top", "units")
    trial = At("top", "trial")
    files = At("top", "files")
    env = At("top", "env")
    assets = At("top", "assets")  # its static files; the user's own while its command makes them

    def text(self, path: str) -> str:
        """The path of a rendered text: units/<name>, trial/<name> or files/<dest>."""
        return os.path.join(self.top, path)

    def env_file(self, service: str) -> str:
        return os.path.join(self.env, service + ".env")
