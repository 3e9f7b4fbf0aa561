"""The units of templates/ are what the real systemd takes, starts and confines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shipit.agent.health import evidence
from shipit.inventory.model import Host
from shipit.playbook import reader
from shipit.render import units
from shipit.render.release_names import ReleaseNames
from shipit.secrets import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab
    from shipit.render.units import ReleaseTexts

RELEASE = ReleaseNames("1.0-abc", "1.0", "/opt/demoapp/releases/1.0-abc")
PLAYBOOK = """
app: demoapp
hosts: web
wheel: app.py
lock: app.py
wheelhouse: .
env: {GREETING: "it's \\"50 %\\" $HOME"}
secrets: {TOKEN: env:TOKEN}
files: [{src: app.py, dest: app.py}]
services:
  web: {command: python3 app.py serve "two words", socket: "127.0.0.1:8000"}
  web6: {command: python3 app.py serve, socket: "[::1]:8001"}
  local: {command: python3 app.py serve, socket: /run/demoapp-local.sock}
  proxied:
    command: python3 app.py serve
    socket: /run/demoapp-proxied.sock
    socket_group: www-data
  worker: {command: python3 app.py wait, hardening: {PrivateTmp: false, UMask: "0022"}}
  nightly: {command: python3 app.py report, timer: "*-*-* 03:00:00"}
  lost: {command: /usr/bin/touch upload, timer: yearly}
  kept: {command: /usr/bin/touch upload, timer: yearly, workdir: shared}
"""
APP = """
import ctypes, json, os, resource, socket, sys, time

def is_root_s(pid):
    return os.stat("/proc/" + pid).st_uid == 0

def about():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
    folders = ("/etc", "/usr", "/opt/demoapp", os.getcwd(), "/root")
    writable = [folder for folder in folders if os.access(folder, os.W_OK)]
    return {
        "argv": sys.argv[1:], "env": dict(os.environ), "uid": os.getuid(), "cwd": os.getcwd(),
        "no_new_privileges": fields["NoNewPrivs"].strip(), "writable": writable,
        "state": os.access(os.environ["STATE_DIRECTORY"], os.W_OK),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "traceable": ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0,
        "others": [pid for pid in filter(str.isdigit, os.listdir("/proc")) if is_root_s(pid)],
    }

if sys.argv[1] == "serve":
    listener = socket.socket(fileno=3)
    listener.settimeout(600)
    while True:
        connection, _ = listener.accept()
        connection.sendall(json.dumps(about()).encode())
        connection.close()
elif sys.argv[1] == "report":
    open(os.environ["STATE_DIRECTORY"] + "/report", "w").write(json.dumps(about()))
else:
    time.sleep(600)
"""
ASK = """
import socket, sys
ours = ((2, ("127.0.0.1", 8000)), (10, ("::1", 8001)), (1, "/run/demoapp-local.sock"))
for kind, address in ours:
    with socket.socket(kind) as connection:
        connection.settimeout(60)
        connection.connect(address)
        print(b"".join(iter(lambda: connection.recv(65536), b"")).decode())
"""


CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
EXPOSURE = 20  # tenths of systemd-analyze's figure, of the services in docs/hardening.md


@pytest.fixture
def texts(tmp_path: Path) -> ReleaseTexts:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
    draft = reader.read(tmp_path / "playbook.yaml")[0]
    host = Host("web1", ("web",), {})
    wanted = units.deployment(draft, host, {}, RELEASE)
    return units.release_texts(wanted, host, {"TOKEN": Secret("sentinel-token")}, RELEASE)


@pytest.fixture
def installed(fresh_web1: Lab, texts: ReleaseTexts) -> Lab:
    """Lay the release out on web1 as the agent does, with a venv that is the system's Python."""

    def run(*argv: str, given: str | None = None) -> None:
        done = fresh_web1.run("web1", *argv, input=given)
        assert done.returncode == 0, done.stderr

    run("useradd", "--system", "--user-group", "demoapp")
    for folder in ("files", "venv/bin", "env", "units", "trial"):
        run("mkdir", "-p", f"{RELEASE.path}/{folder}")
    run("ln", "-s", "/usr/bin/python3", f"{RELEASE.path}/venv/bin/python3")
    for path, text in texts.texts.items():
        run("tee", f"{RELEASE.path}/{path}", given=text)
    for service, text in texts.env_files.items():
        run("tee", f"{RELEASE.path}/env/{service}.env", given=text)
    run("chmod", "0700", f"{RELEASE.path}/env")
    run("sh", "-c", f"cp {RELEASE.path}/units/* /etc/systemd/system")
    run("systemctl", "daemon-reload")
    return fresh_web1


def test_systemd_verifies_every_unit(installed: Lab, texts: ReleaseTexts) -> None:
    paths = [f"{RELEASE.path}/units/{unit.name}" for unit in texts.units]
    done = installed.run("web1", "systemd-analyze", "verify", "--man=no", *paths)
    about_ours = [line for line in done.stderr.splitlines() if "demoapp" in line]
    assert (done.returncode, about_ours) == (0, [])


def test_every_unit_starts_and_is_confined(installed: Lab, texts: ReleaseTexts) -> None:
    started = [unit.name for unit in texts.units if unit.start]
    done = installed.run("web1", "systemctl", "enable", "--now", *started)
    assert done.returncode == 0, done.stderr
    states = installed.run("web1", "systemctl", "is-active", *started).stdout.split()
    assert states == ["active"] * len(started)

    answers = installed.run("web1", "python3", "-c", ASK).stdout.splitlines()
    about = [json.loads(answer) for answer in answers]
    assert len(about) == 3
    for answer in about:
        assert answer["uid"] != 0
        assert answer["cwd"] == f"{RELEASE.path}/files"
        assert answer["no_new_privileges"] == "1"
        assert answer["writable"] == []
        assert answer["state"] is True
        assert (answer["core"], answer["traceable"], answer["others"]) == ([0, 0], False, [])
        assert answer["env"]["TOKEN"] == "sentinel-token"
        assert answer["env"]["GREETING"] == 'it\'s "50 %" $HOME'
    assert about[0]["argv"] == ["serve", "two words"]


def test_only_the_owner_s_group_may_connect_to_a_unix_socket(installed: Lab) -> None:
    sockets = ("demoapp-local.socket", "demoapp-proxied.socket")
    assert installed.run("web1", "systemctl", "start", *sockets).returncode == 0

    def connects(user: str, socket: str) -> bool:
        as_user = ("setpriv", f"--reuid={user}", "--init-groups", f"--regid={user}")
        argv = ("python3", "-c", CONNECT, f"/run/demoapp-{socket}.sock")
        return installed.run("web1", *as_user, *argv).returncode == 0

    who = [(user, of) for user in ("games", "www-data", "demoapp") for of in ("local", "proxied")]
    allowed = [("www-data", "proxied"), ("demoapp", "local"), ("demoapp", "proxied")]
    assert [pair for pair in who if connects(*pair)] == allowed


def test_systemd_finds_little_exposure(installed: Lab) -> None:
    """As docs/hardening.md has it; a higher figure is a failure."""
    services = (f"demoapp-web@{RELEASE.id}.service", "demoapp-nightly.service")
    argv = ("systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE}")
    done = installed.run("web1", *argv, *services)
    assert done.returncode == 0, done.stdout


def test_a_job_runs_once_and_may_write_its_state(installed: Lab) -> None:
    done = installed.run("web1", "systemctl", "start", "demoapp-nightly.service")
    log = installed.run("web1", "journalctl", "-u", "demoapp-nightly", "--no-pager").stdout
    assert done.returncode == 0, log
    assert json.loads(installed.read("web1", "/var/lib/demoapp/report"))["argv"] == ["report"]


def test_a_socket_keeps_connections_while_its_service_restarts(installed: Lab) -> None:
    web, listening = f"demoapp-web@{RELEASE.id}.service", "ss -Hltn sport = :8000"
    for verb in (("start", "demoapp-web.socket", web), ("stop", web)):
        done = installed.run("web1", "systemctl", *verb)
        assert done.returncode == 0, done.stderr
    assert "127.0.0.1:8000" in installed.run("web1", "sh", "-c", listening).stdout


def test_a_relative_path_can_be_written_in_the_workdir_shared(installed: Lab) -> None:
    shared = "/opt/demoapp/shared"
    argv = ("install", "-d", "-o", "demoapp", "-g", "demoapp", shared)
    assert installed.run("web1", *argv).returncode == 0
    for name, is_good in (("lost", False), ("kept", True)):
        done = installed.run("web1", "systemctl", "start", f"demoapp-{name}.service")
        assert (done.returncode == 0) == is_good, done.stderr
    assert installed.run("web1", "test", "-e", f"{shared}/upload").returncode == 0
    log = installed.run("web1", "journalctl", "-u", "demoapp-lost", "--no-pager").stdout
    assert "workdir: shared" in evidence.advice(log)
