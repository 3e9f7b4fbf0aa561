"""Staging, status and logs on real hosts: real systemd, real users, real sockets."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

import agent_builders
import wheelhouse
from hosts.links import at
from patience import until
from shipit.agent.protocol import manifest, messages
from shipit.agent.system.paths import Paths
from shipit.transport import agent_zip
from shipit.transport.connect import connect
from shipit.transport.ssh.client import Network
from shipit.transport.upload import ship

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shipit.lab.lab import Lab
    from shipit.transport.channel import Link, Wire

PATIENCE = 300.0  # seconds
LEASE = 600.0  # seconds; no machine is busy for that long
PATHS = Paths("tinyapp", "/opt/tinyapp")
SECRET = "s3ntinel-in-the-env"
SOCKET = "[Socket]\nListenStream=8000\n[Install]\nWantedBy=sockets.target\n"
SERVICE = """\
[Unit]
Requires=tinyapp-web.socket
After=tinyapp-web.socket
[Service]
Type=exec
User=tinyapp
WorkingDirectory={top}/files
EnvironmentFile={top}/env/web.env
ExecStart={top}/venv/bin/tinyapp
NonBlocking=yes
[Install]
WantedBy=multi-user.target
"""
PAGE = "http://localhost:8000/?are-you-there"
ASK = f"python3 -c \"import urllib.request as r; r.urlopen('{PAGE}')\""
ENV = {"web": f'TOKEN="{SECRET}"\n'}


@dataclass(frozen=True)
class Blob:
    sha256: str
    path: Path
    size: int


@dataclass
class Talk:
    """A session with a host."""

    link: Link
    wire: Wire

    def ask(self, message: object) -> Any:  # noqa: ANN401 - any word of protocol
        """Return the answer to a request; what is said on the way is passed over."""
        self.wire.send(message)
        return self.next()

    def next(self) -> Any:  # noqa: ANN401 - any word of protocol
        on_the_way = (
            *(messages.StepBegan, messages.StepEnded, messages.Probed, messages.Activating),
            messages.Alive,
        )
        while (frame := self.wire.receive(PATIENCE)) and isinstance(frame.message, on_the_way):
            pass
        return frame.message if frame else None

    def hello(self, blobs: Sequence[str] = ()) -> messages.Facts:
        facts = self.ask(messages.Hello("tinyapp", PATHS.root, tuple(blobs), "00" * 16))
        assert isinstance(facts, messages.Facts), facts
        return facts

    def stage(self, release: Release) -> Any:  # noqa: ANN401 - any word of protocol
        present = self.hello([blob.sha256 for blob in release.blobs]).present
        missing = [blob for blob in release.blobs if blob.sha256 not in present]
        ship(self.link, self.wire, missing, lambda _done: None)
        return self.ask(release.request)

    def deploy(self, release: Release) -> None:
        assert isinstance(self.stage(release), messages.Staged)
        attempt = release.request.attempt
        activate = messages.Activate(attempt, release.request.manifest.id, lease=LEASE)
        healthy = self.ask(activate)
        assert isinstance(healthy, messages.Healthy), healthy
        settled = self.ask(messages.Settle(attempt.txn, "commit"))
        assert (settled.outcome, settled.running) == ("committed", activate.release)


@dataclass(frozen=True)
class Release:
    request: messages.Stage
    blobs: tuple[Blob, ...]


def release(folder: Path, version: str = "1.0.0", **changes: str) -> Release:
    """Make a release of tinyapp; `changes` replaces texts by their path."""
    bundle = agent_builders.Bundle(
        wheelhouse.installed_wheel(folder.parent / "installers", "uv"),
        wheelhouse.tinyapp_wheel(folder, version),
        (),
    )
    name = f"{version}-aaaaaaaa"
    texts = {
        "units/tinyapp-web.socket": SOCKET,
        "units/tinyapp-web.service": SERVICE.format(top=PATHS.release(name).top),
        "files/app.ini": f"[app]\nversion = {version}\n",
    }
    texts |= {path.replace("__", "/"): text for path, text in changes.items()}
    made = agent_builders.manifest(PATHS, bundle, name, texts, ENV)
    units = tuple(replace(unit, watched=unit.name.endswith(".service")) for unit in made.units)
    gate = manifest.Gate(
        (manifest.Check.of("http", "http://127.0.0.1:8000/healthz"),), 0.1, 60.0, 0.1
    )
    made = replace(
        made,
        user="tinyapp",
        interpreter="/usr/bin/python3.11",
        units=tuple(sorted(units, key=lambda unit: not unit.name.endswith(".socket"))),
        gate=gate,
        smoke=("tinyapp", "--version"),
    )
    request = agent_builders.stage(made, texts, ENV, f"txn-{version.replace('.', '-')}")
    return Release(request, tuple(blob(path) for path in bundle.all))


def blob(path: Path) -> Blob:
    return Blob(hashlib.sha256(path.read_bytes()).hexdigest(), path, path.stat().st_size)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Network(home=tmp_path) as network:
        yield network


@pytest.fixture
def talk(fresh_web1: Lab, network: Network) -> Iterator[Talk]:
    """Talk to web1 as its user `deploy`, who becomes root."""
    link = connect(at(fresh_web1.hosts["web1"]), agent_zip.build(), network)
    wire = link.open()
    yield Talk(link, wire)
    wire.close()
    link.close()


def on_host(lab: Lab, command: str) -> str:
    return lab.run("web1", "sh", "-c", command).stdout.strip()


def test_a_release_is_staged_activated_and_reported_correctly(
    talk: Talk, lab: Lab, tmp_path: Path
) -> None:
    first = release(tmp_path)
    talk.deploy(first)
    facts = talk.hello()
    assert facts.healthy
    assert facts.current == first.request.manifest
    status = talk.ask(messages.AskStatus())
    assert status.drift == ()
    assert [unit.active for unit in status.units] == ["active/running"] * 2
    top = PATHS.release(first.request.manifest.id).top
    assert on_host(lab, f"stat -c '%a %U' {top}/env/web.env") == "600 root"
    assert on_host(lab, f"runuser -u tinyapp -- cat {top}/env/web.env 2>&1 || true").endswith(
        "Permission denied"
    )
    assert "version = 1.0.0" in on_host(lab, f"runuser -u tinyapp -- cat {top}/files/app.ini")
    assert on_host(lab, "getent passwd tinyapp | cut -d: -f6,7") == "/nonexistent:/usr/sbin/nologin"


def test_of_the_second_release_only_the_app_itself_is_sent(talk: Talk, tmp_path: Path) -> None:
    talk.deploy(release(tmp_path))
    second = release(tmp_path / "2", "2.0.0")
    present = talk.hello([blob.sha256 for blob in second.blobs]).present
    missing = [blob.path.name for blob in second.blobs if blob.sha256 not in present]
    assert missing == ["tinyapp-2.0.0-py3-none-any.whl"]
    assert isinstance(talk.stage(second), messages.Staged)


def test_a_unit_that_systemd_cannot_read_is_refused(talk: Talk, lab: Lab, tmp_path: Path) -> None:
    broken = "[Service]\nType=nonsense\nExecStart=/no/such/program\n"
    failure = talk.stage(release(tmp_path, **{"units__tinyapp-web.service": broken}))
    assert failure.code == "unit-verify"
    assert "/no/such/program" in failure.evidence
    assert on_host(lab, "ls /opt/tinyapp") == "ledger.jsonl"


def test_a_port_of_another_service_names_its_owner(talk: Talk, lab: Lab, tmp_path: Path) -> None:
    squat = "import socket,time; s=socket.create_server(('',8000)); time.sleep(600)"
    on_host(lab, f'systemd-run -q --unit=squatter /usr/bin/python3 -c "{squat}"')
    until(lambda: "8000" in on_host(lab, "ss -ltn"), lambda: on_host(lab, "ss -ltn"), PATIENCE)
    failure = talk.stage(release(tmp_path))
    assert failure.code == "port-taken"
    assert "squatter.service" in failure.what


def test_a_socket_unit_of_somebody_else_is_an_owner_too(
    talk: Talk, lab: Lab, tmp_path: Path
) -> None:
    on_host(lab, "systemd-run -q --socket-property=ListenStream=8000 --unit=other /bin/true")
    failure = talk.stage(release(tmp_path))
    assert (failure.code, "systemd" in failure.what) == ("port-taken", True)


def test_our_own_socket_is_no_obstacle(talk: Talk, tmp_path: Path) -> None:
    talk.deploy(release(tmp_path))
    second = release(tmp_path / "2", "2.0.0")
    findings = talk.ask(messages.Survey(second.request.manifest, 0, second.request.texts))
    assert findings.problems == ()


def test_the_log_of_the_services_is_reported_and_followed(
    talk: Talk, lab: Lab, tmp_path: Path
) -> None:
    talk.deploy(release(tmp_path))
    lines = talk.ask(messages.AskLogs(100, follow=False))
    assert "tinyapp-web.service" in lines.text or "tinyapp" in lines.text
    while not isinstance(lines, messages.End):
        assert lines is not None
        lines = talk.next()
    talk.wire.send(messages.AskLogs(0, follow=True, service="web"))
    with ThreadPoolExecutor(1) as pool:
        follows = pool.submit(_until, talk, "/?are-you-there")
        until(
            lambda: on_host(lab, ASK) or follows.done(),
            lambda: "no question was seen in the log",
            PATIENCE,
        )
    on_host(lab, "systemctl restart tinyapp-web.service")
    assert "Started tinyapp-web.service" in _until(talk, "Started")


def _until(talk: Talk, words: str) -> str:
    output = ""
    while words not in output:
        output += talk.next().text
    return output


def test_drift_is_found_where_it_is(talk: Talk, lab: Lab, tmp_path: Path) -> None:
    talk.deploy(release(tmp_path))
    on_host(lab, "echo '# edited' >> /etc/systemd/system/tinyapp-web.service")
    on_host(lab, "systemctl stop tinyapp-web.socket tinyapp-web.service")
    drift = "\n".join(each.what for each in talk.ask(messages.AskStatus()).drift)
    assert "/etc/systemd/system/tinyapp-web.service was changed" in drift
    assert "tinyapp-web.service is inactive/dead instead of active" in drift
    assert not talk.hello().healthy


def again(talk: Talk) -> Talk:
    """Open another session on the same connection."""
    return Talk(talk.link, talk.link.open())


def test_a_controller_that_leaves_after_the_switch_is_outlived_by_the_lease(
    talk: Talk, tmp_path: Path
) -> None:
    talk.deploy(release(tmp_path))
    second = release(tmp_path / "2", "2.0.0")
    assert isinstance(talk.stage(second), messages.Staged)
    name = second.request.manifest.id
    assert isinstance(
        talk.ask(messages.Activate(second.request.attempt, name, lease=LEASE)), messages.Healthy
    )
    talk.wire.close()
    later = again(talk)
    assert later.hello().holder is not None
    last = again(talk)
    last.hello()
    settled = later.ask(messages.Attach())
    last.wire.send(messages.Renew(second.request.attempt.txn, 1.0))
    while not isinstance(settled, messages.Settled):
        assert settled is not None
        settled = later.next()
    last.wire.close()
    assert (settled.outcome, settled.running) == ("rolled_back", "1.0.0-aaaaaaaa")
    facts = later.hello()
    assert facts.healthy
    assert facts.current is not None
    assert facts.current.version == "1.0.0"
    assert later.ask(messages.AskStatus()).drift == ()
    later.wire.close()


def test_a_session_that_is_killed_while_it_stages_is_cleaned_up_after(
    talk: Talk, lab: Lab, tmp_path: Path
) -> None:
    assert isinstance(talk.stage(release(tmp_path)), messages.Staged)
    later = again(talk)
    holder = later.hello().holder
    assert holder is not None
    on_host(lab, f"kill -KILL {holder.host_pid}")
    until(
        lambda: not on_host(lab, f"ls -d /proc/{holder.host_pid}"),
        lambda: f"{holder} is still there",
        PATIENCE,
    )
    facts = later.hello()
    assert facts.recovered
    assert on_host(lab, "ls -A /opt/tinyapp") == "ledger.jsonl"
    later.deploy(release(tmp_path))
    later.wire.close()
