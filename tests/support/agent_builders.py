"""Builders for tests of the agent: wheels as blobs, their manifest, a request to stage it."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.agent.host.host import QUICK, RealHost, UnitView
from shipit.agent.protocol import manifest as manifests
from shipit.agent.protocol import messages
from shipit.agent.protocol.codec import to_json
from shipit.agent.protocol.rules import unit_text
from shipit.agent.records import env_file
from shipit.agent.storage import blobs
from shipit.agent.system.process import Done, unheard, unwatched
from wheelhouse import Recipe, installed_wheel, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.agent.host.transient import Command
    from shipit.agent.system.paths import Paths

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
UNIT = "demo-web.service"
SERVICE = "[Unit]\nDescription=demo\n[Service]\nExecStart=/bin/sleep 1000\n"


def artifact(wheel: Path) -> manifests.Artifact:
    name, version = wheel.name.split("-")[:2]
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return manifests.Artifact(name.replace("_", "-"), version, wheel.name, digest, len(content))


def receive(paths: Paths, wheels: Sequence[Path]) -> None:
    """Receive wheels as a channel does: in parts, not verified."""
    blobs.prepare(paths)
    for wheel in wheels:
        content, item = wheel.read_bytes(), artifact(wheel)
        if blobs.missing(paths, [item]):
            blobs.receive(paths, messages.Part(item.sha256, 0, len(content)), content)


@dataclass(frozen=True)
class Bundle:
    """The wheels of one release."""

    installer: Path
    app: Path
    wheels: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.installer, self.app, *self.wheels)


def bundle(folder: Path, installer: str = "uv", app_version: str = "1.0.0") -> Bundle:
    """Make an app that needs one other distribution; both have a module of their name."""
    app = Recipe(
        "demoapp",
        app_version,
        requires=("demodep",),
        files={"demoapp/__init__.py": APP, "demoapp/unused.py": "x = 1\n"},
        scripts={"demoapp": "demoapp:main"},
    )
    dep = Recipe("demodep", files={"demodep.py": "ANSWER = 42\n"})
    tool = installed_wheel(folder.parents[1] / "installers", installer)  # shared by the tests
    return Bundle(tool, write_wheel(folder, app), (write_wheel(folder, dep),))


APP = """
import os, sys
import demodep
def main():
    print("demoapp", demodep.ANSWER, os.getuid(), os.environ.get("TOKEN"), os.getcwd())
    sys.exit(int(os.environ.get("SMOKE_STATUS", "0")))
"""


def manifest(
    paths: Paths,
    bundle: Bundle,
    release: str = "1.0.0-aaaaaaaa",
    texts: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> manifests.Manifest:
    """Return the manifest of a release made of these wheels and texts."""
    artifacts = [artifact(wheel) for wheel in (bundle.app, *bundle.wheels)]
    requirements = "".join(f"{a.name}=={a.version} --hash=sha256:{a.sha256}\n" for a in artifacts)
    tool = artifact(bundle.installer)
    texts = {f"units/{UNIT}": SERVICE} if texts is None else texts
    return manifests.Manifest(
        id=release,
        app=paths.app,
        version=artifacts[0].version,
        root=paths.root,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        interpreter=SYSTEM_PYTHON,
        installer=tool.name,
        installer_wheel=tool,
        app_wheel=artifacts[0],
        wheels=tuple(artifacts[1:]),
        requirements=requirements,
        bundle="0" * 64,
        units=units(texts),
        texts=tuple(
            manifests.Rendered(name, 0o644, hashlib.sha256(text.encode()).hexdigest())
            for name, text in sorted(texts.items())
        ),
        env=tuple(env_digest(service, text, release) for service, text in (env or {}).items()),
        gate=manifests.Gate((), 0.25, 10.0, 0.0),
        smoke=(),
        keep_releases=5,
        created="2026-01-01T00:00:00+00:00",
        created_by="dev@laptop",
    )


def units(texts: Mapping[str, str]) -> tuple[manifests.Unit, ...]:
    """Return units with these texts, all of one service."""
    return tuple(
        manifests.Unit(
            name.removeprefix("units/"),
            "web",
            start=True,
            watched=True,
            stop_timeout=5.0,
            listen=unit_text.listen(text),
        )
        for name, text in texts.items()
        if name.startswith("units/")
    )


def env_digest(service: str, text: str, salt: str) -> manifests.EnvDigest:
    digest = hashlib.scrypt(text.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32).hex()
    keys = tuple(line.partition("=")[0] for line in text.splitlines())
    return manifests.EnvDigest(service, keys, salt, digest)


def attempt(txn: str = "txn-1", what: str = "deploy") -> messages.Attempt:
    return messages.Attempt(txn, what, "dev@laptop", 4711, "2026-01-01T00:00:00+00:00")


def stage(
    wanted: manifests.Manifest,
    texts: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    txn: str = "txn-1",
    signed: manifests.Signed | None = None,
) -> messages.Stage:
    texts = {f"units/{UNIT}": SERVICE} if texts is None else texts
    return messages.Stage(attempt(txn), wanted, dict(texts), dict(env or {}), signed=signed)


def manifests_json(wanted: manifests.Manifest) -> str:
    """Return the text of manifest.json."""
    return json.dumps(to_json(wanted))


def renamed(wanted: manifests.Manifest, release: str) -> manifests.Manifest:
    return replace(wanted, id=release)


class NoSystemd(RealHost):
    """This machine without its systemd, which is faked."""

    def __init__(self) -> None:
        super().__init__()
        self.verified: list[str] = []
        self.verdict = Done(0, "")  # of systemd-analyze verify
        self.inactive: set[str] = set()
        self.drop_ins: tuple[str, ...] = ()

    def systemctl(self, verb: str, names: Sequence[str] = (), *, timeout: float = QUICK) -> Done:
        return Done(0, "systemd 252 (252.39)\n" if verb == "--version" else "")

    def show(self, names: Sequence[str]) -> dict[str, UnitView]:
        return {name: self._view(name) for name in names}

    def _view(self, name: str) -> UnitView:
        if name in self.inactive or name.startswith("shipit-"):
            return UnitView(name, load="loaded")
        return UnitView(
            name, "loaded", "active", "running", main_pid=1, since=1.0, drop_ins=self.drop_ins
        )

    def verify(self, unit_paths: Sequence[str], *, options: Sequence[str] = ()) -> Done:
        self.verified += unit_paths
        return self.verdict

    def run_as(
        self,
        command: Command,
        *,
        timeout: float,
        watch: Callable[[], None] = unwatched,
        heard: Callable[[bytes], None] = unheard,
    ) -> Done:
        user = pwd.getpwnam(command.user)
        environment = {"PATH": command.search}
        for path in command.env_files:
            environment.update(env_file.parse(Path(path).read_text()))
        done = subprocess.run(
            command.argv,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=(),
            cwd=command.directory,
            env=environment,
            timeout=timeout,
            capture_output=True,
            check=False,
            text=True,
        )
        heard((done.stdout + done.stderr).encode())
        return Done(done.returncode, done.stdout + done.stderr)
