"""What a wheel brings runs as the app's user, gains nothing from root, and leaves nothing running.

Each test plays an attack of the service's own user, whose code smoke and `command` checks run.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hosts.agenthost import HOST, AgentHost
from patience import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.lab.lab import Lab

PATIENCE = 60.0  # seconds
WAYS = pytest.mark.parametrize("way", ["smoke", "check"])
MIB = 2**20
RUN = ("python3", "-I", "-S", "/root/confined.py")


class Victim(AgentHost):
    """A lab host with the agent on it, and the app's user."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.put("/root/confined.py", Path(__file__).with_name("confined.py").read_bytes())
        self.sh("useradd --system --no-create-home app")

    def runs(
        self, way: str, words: Sequence[str], env: str = "", timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """Run a command in one of the two ways; return what came of it."""
        self.request(way, words, env, timeout)
        done = self.lab.run(HOST, *RUN, timeout=180)
        assert done.returncode == 0, done.stderr
        ended: dict[str, Any] = json.loads(done.stdout)
        return ended

    def request(self, way: str, words: Sequence[str], env: str, timeout: float) -> None:
        asked = list(words) if way == "smoke" else shlex.join(words)
        request = {"as": way, "words": asked, "env": env, "timeout": timeout}
        self.put("/root/request.json", json.dumps(request).encode())

    def is_gone(self, words: str) -> None:
        """Wait until no process has these words in its command line."""
        look = f"pgrep -fx '{words}'"
        until(lambda: not self.sh(look), lambda: self.sh(f"{look} -a"), PATIENCE)


@pytest.fixture(scope="module")
def victim(lab: Lab) -> Iterator[Victim]:
    lab.reset()
    yield Victim(lab)
    lab.reset()


def shell(script: str) -> tuple[str, str, str]:
    return ("/bin/sh", "-c", script)


@WAYS
def test_loader_variables_of_the_env_have_no_effect_in_a_process_of_root(
    victim: Victim, way: str
) -> None:
    """The dynamic loader writes a file as whoever runs with such an environment."""
    victim.sh("rm -rf /tmp/loader; mkdir -m 1777 /tmp/loader")
    env = "LD_DEBUG=files\nLD_DEBUG_OUTPUT=/tmp/loader/by\n"
    assert victim.runs(way, ["/bin/true"], env)["wrong"] == ""
    owners = set(victim.sh("stat -c %U /tmp/loader/by.*").split())
    assert owners == {"app"}


@WAYS
def test_it_has_no_rights_but_its_users(victim: Victim, way: str) -> None:
    script = "cat /proc/self/status /proc/self/oom_score_adj; ls /proc/self/fd; env; exit 1"
    ended = victim.runs(way, shell(script), 'TOKEN="a secret that everybody knows"\n')
    output = ended["output"]
    status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    none = "0" * 16
    assert {status[f"Cap{each}"] for each in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {none}
    assert status["NoNewPrivs"] == "1"
    user = victim.sh("id -u app")
    assert status["Uid"].split() == [user] * 4
    assert status["Groups"].split() == victim.sh("id -G app").split()
    rest = output.partition("TOKEN=")[0].splitlines()
    assert "300" not in rest  # the score of the agent that asked
    descriptors = [int(line) for line in rest if line in "0123456789" and line]
    assert max(descriptors) <= 3
    assert "HOME=" in output


@WAYS
@pytest.mark.parametrize("limit", [0.5, PATIENCE], ids=["too late", "in time"])
def test_a_child_that_leaves_its_session_ends_with_it(
    victim: Victim, way: str, limit: float
) -> None:
    stays = "" if limit == PATIENCE else "; sleep 50"
    ended = victim.runs(way, shell(f"setsid -f sleep 4321{stays}"), timeout=limit)
    assert ("0.5 s" in ended["wrong"]) == bool(stays)
    victim.is_gone("sleep 4321")


@WAYS
def test_much_output_does_not_fill_the_memory_of_the_agent(victim: Victim, way: str) -> None:
    held = "stat -Lc %s /proc/self/fd/1"  # of a file behind it, a pipe has no size
    script = f"head -c {200 * MIB} /dev/zero | tr '\\0' x; echo; {held}; exit 1"
    quiet = victim.runs(way, shell("exit 1"))["peak"]
    ended = victim.runs(way, shell(script))
    assert ended["output"].endswith("x\n0\n")
    assert ended["peak"] - quiet < 10 * 1024  # KiB


def test_an_agent_that_is_killed_leaves_it_running_only_for_a_while(victim: Victim) -> None:
    victim.request("check", shell("exec sleep 3210"), "", timeout=2.0)
    victim.sh(f"setsid -f {' '.join(RUN)} >/dev/null 2>&1")
    until(lambda: victim.sh("pgrep -fx 'sleep 3210'"), lambda: "it never ran", PATIENCE)
    victim.sh(f"pkill -KILL -fx '{' '.join(RUN)}'")
    victim.is_gone("sleep 3210")
    listed = "systemctl list-units --plain --no-legend 'shipit-run*'"
    until(lambda: not victim.sh(listed), lambda: victim.sh(listed), PATIENCE)


def test_a_rollback_ends_it_at_once(victim: Victim) -> None:
    code = f"""
import os, sys
sys.path.insert(0, "/root/lib")
from shipit.agent.host.host import RealHost
from shipit.agent.host.transient import Command
def watch():
    if os.path.exists("/dev/shm/runs"):
        raise KeyboardInterrupt
command = Command({shell("touch /dev/shm/runs; setsid -f sleep 2109; sleep 2109")}, "app", "/")
try:
    RealHost(watch).run_as(command, timeout={PATIENCE})
except KeyboardInterrupt:
    print("called back")
"""
    victim.sh("rm -f /dev/shm/runs")
    done = victim.lab.run(HOST, "python3", "-I", "-S", "-c", code, timeout=180)
    assert done.stdout == "called back\n", done.stderr
    assert not victim.sh("pgrep -fx 'sleep 2109'")
    assert not victim.sh("systemctl list-units --plain --no-legend 'shipit-run*'")


def test_how_it_ends_is_reported_truly(victim: Victim) -> None:
    reported = {script: victim.runs("check", shell(script))["wrong"] for script in SCRIPTS}
    assert reported == SCRIPTS


SCRIPTS = {
    "exit 0": "",
    "exit 3": "expected exit status 0, got 3",
    "kill -TERM $$": "expected exit status 0, got 143",
    'test "$HOME" = "$(getent passwd app | cut -d: -f6)"': "",
    "no-such-program": "expected exit status 0, got 127",
    "yes | head -1 >/dev/null": "",
}


def test_the_secret_is_in_nothing_that_others_may_read(victim: Victim) -> None:
    secret = "s3ntinel-of-a-check"
    look = "systemctl show 'shipit-run*'; cat /proc/*/cmdline | tr '\\0' ' '"
    ended = victim.runs("check", shell(f"{look}; exit 1"), f'TOKEN="{secret}"\n')
    assert "EnvironmentFiles=/opt/app/releases/r1/env/web.env" in ended["output"]
    assert secret not in ended["output"]


def test_the_end_of_a_log_is_the_evidence(victim: Victim) -> None:
    script = "for i in $(seq 1000); do echo line $i; done"
    victim.sh(f"systemd-run --quiet --wait --unit=chatty.service sh -c '{script}'")
    code = (
        "import sys; sys.path.insert(0, '/root/lib');"
        "from shipit.agent.host.host import RealHost;"
        "print(RealHost().unit_log('chatty.service', since=1.0, lines=20))"
    )
    reported = victim.lab.run(HOST, "python3", "-I", "-S", "-c", code).stdout
    lines = [line.rpartition("line ")[2] for line in reported.splitlines() if "line " in line]
    assert lines[-1] == "1000"
    assert list(map(int, lines)) == sorted(map(int, lines))


STUBBORN = """\
#!/usr/bin/python3
import os, signal, socket
def say(what):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
        sock.send(what)
signal.signal(signal.SIGTERM, lambda *_: say(b"EXTEND_TIMEOUT_USEC=3600000000"))
say(b"READY=1")
while True:
    signal.pause()
"""


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_service_that_puts_off_its_own_stop_is_killed(victim: Victim, verb: str) -> None:
    """Else the way back would wait an hour for it, or as long as it likes."""
    victim.put("/opt/stubborn", STUBBORN.encode())
    victim.sh("chmod 755 /opt/stubborn; systemctl reset-failed")
    unit = "[Service]\nType=notify\nNotifyAccess=all\nUser=app\nTimeoutStopSec=1\n"
    victim.put("/etc/systemd/system/stubborn.service", f"{unit}ExecStart=/opt/stubborn\n".encode())
    victim.sh("systemctl daemon-reload; systemctl start stubborn")
    before = victim.sh("systemctl show --value --property=InvocationID stubborn")
    code = (
        "import sys; sys.path.insert(0, '/root/lib');"
        "from shipit.agent.activation import start; from shipit.agent.host.host import RealHost;"
        f"start.ask(RealHost(), {verb!r}, 'revert', ['stubborn.service'], 4.0)"
    )
    done = victim.lab.run(HOST, "python3", "-I", "-S", "-c", code, timeout=60)
    assert done.returncode == 0, done.stderr
    after = victim.sh("systemctl show --value --property=InvocationID stubborn")
    came_to = (victim.sh("systemctl is-active stubborn"), after != before)
    assert came_to == {"stop": ("failed", False), "restart": ("active", True)}[verb]
    victim.sh("systemctl kill --signal=SIGKILL stubborn; systemctl stop stubborn")
