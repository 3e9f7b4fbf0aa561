"""The layout of all paths on a host."""

import os
from dataclasses import dataclass

VAR = "/var/lib/shipit"
UNITS = "/etc/systemd/system"
RUNTIME_UNITS = "/run/systemd/system"
TIMER_STAMPS = "/var/lib/systemd/timers"


@dataclass(frozen=True)
class Paths:
    """The paths of one app on this host."""

    app: str
    root: str  # /opt/<app>
    var: str = VAR
    units: str = UNITS
    runtime_units: str = RUNTIME_UNITS  # a reboot removes these
    timer_stamps: str = TIMER_STAMPS

    @property
    def current(self) -> str:
        return os.path.join(self.root, "current")

    @property
    def releases(self) -> str:
        return os.path.join(self.root, "releases")

    @property
    def shared(self) -> str:
        return os.path.join(self.root, "shared")

    @property
    def ledger(self) -> str:
        return os.path.join(self.root, "ledger.jsonl")

    def release(self, release: str) -> "ReleasePaths":
        return ReleasePaths(os.path.join(self.releases, release))

    def timer_stamp(self, timer: str) -> str:
        """The stamp of Persistent=yes: its mtime is the timer's last run."""
        return os.path.join(self.timer_stamps, f"stamp-{timer}")

    @property
    def blobs(self) -> str:
        return os.path.join(self.var, "blobs", "sha256")

    def blob(self, sha256: str) -> str:
        return os.path.join(self.blobs, sha256)

    def incoming(self, sha256: str) -> str:
        """An incoming blob; it becomes a blob once its digest is verified."""
        return os.path.join(self.var, "incoming", sha256)

    @property
    def agents(self) -> str:
        return os.path.join(self.var, "agent")

    @property
    def tools(self) -> str:
        return os.path.join(self.var, "tools")

    @property
    def wheels(self) -> str:
        """Links to blobs under the names of wheels."""
        return os.path.join(self.var, "wheels")

    @property
    def uv_cache(self) -> str:
        return os.path.join(self.var, "uv-cache")

    @property
    def store_lock(self) -> str:
        """Shared by sessions that use blobs, exclusive for removing some."""
        return os.path.join(self.var, "store.lock")

    @property
    def apps(self) -> str:
        """A file for each app that this host ever had, with its root."""
        return os.path.join(self.var, "apps")

    @property
    def marked(self) -> str:
        """Releases that are being removed; on the file system of releases/."""
        return os.path.join(self.root, ".doomed")

    @property
    def boot_unit(self) -> str:
        """The unit that settles an interrupted transaction at boot; present while one is armed.

        No app's name leads to the same unit name, as none has an @.
        """
        return os.path.join(self.units, f"shipit-recover@{self.app}.service")

    @property
    def old_boot_unit(self) -> str:
        """Its name in earlier versions, which an app's driver may have as well."""
        return os.path.join(self.units, f"shipit-recover-{self.app}.service")

    def wants(self, unit: str) -> str:
        """The link that enables a unit for the boot."""
        return os.path.join(self.units, "multi-user.target.wants", os.path.basename(unit))

    @property
    def boot_link(self) -> str:
        return self.wants(self.boot_unit)

    def _txn(self, suffix: str) -> str:
        return os.path.join(self.var, "txn", self.app + suffix)

    @property
    def journal(self) -> str:
        return self._txn(".json")

    @property
    def unreadable(self) -> str:
        """A journal that could not be read, kept for an operator."""
        return self._txn(".json.unreadable")

    @property
    def session_lock(self) -> str:
        """Held by the session that stages and follows: one deploy at a time."""
        return self._txn(".session.lock")

    @property
    def txn_lock(self) -> str:
        """Held by the process that drives the transaction, in its own unit."""
        return self._txn(".txn.lock")

    @property
    def verdict(self) -> str:
        """Created by link(2): the first verdict wins."""
        return self._txn(".verdict")

    @property
    def lease(self) -> str:
        return self._txn(".lease")

    @property
    def events(self) -> str:
        """The event log of the transaction, a frame header a line."""
        return self._txn(".events")

    @property
    def unit(self) -> str:
        """The transient unit that drives the transaction; its name is unique on the host."""
        return f"shipit-{self.app}.service"


@dataclass(frozen=True)
class ReleasePaths:
    """The paths inside one release's directory, immutable once staged."""

    top: str

    @property
    def manifest(self) -> str:
        return os.path.join(self.top, "manifest.json")

    @property
    def verified_stamp(self) -> str:
        """An empty file whose mtime is the last verification of the release."""
        return os.path.join(self.top, "proven")

    @property
    def venv(self) -> str:
        return os.path.join(self.top, "venv")

    @property
    def python(self) -> str:
        return os.path.join(self.venv, "bin", "python")

    @property
    def units(self) -> str:
        return os.path.join(self.top, "units")

    @property
    def trial(self) -> str:
        return os.path.join(self.top, "trial")

    @property
    def files(self) -> str:
        return os.path.join(self.top, "files")

    @property
    def env(self) -> str:
        return os.path.join(self.top, "env")

    def text(self, path: str) -> str:
        """The path of a rendered text: units/<name>, trial/<name> or files/<dest>."""
        return os.path.join(self.top, path)

    def env_file(self, service: str) -> str:
        return os.path.join(self.env, service + ".env")
