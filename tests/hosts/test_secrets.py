r"""A secret is in the service's environment and in its own 0600 file, and nowhere else.

The secrets of these tests are awkward: several lines, quotes, backslashes, $ and letters beyond
ASCII. Each line of each holds a mark that is looked for: in all that is printed, in the journal, in
every process's arguments while a deploy runs, in every file of the hosts' disks.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from hosts.site import HOSTS
from hosts.workspace import PORT, SECRET, Done, Workspace
from shipit.lab.image import SUDO_PASSWORD
from shipit.secrets import Secret
from shipit.vault import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab

LINES = "first-Zm4rkLines of several\n  second-Zm4rkLines 'of' them\n\nlast-Zm4rkLines\n"
ODD = "\"Zm4rkOdd\" '$HOME' ${PATH} \\n \\\\ `id` %n %% ünï-✓ #;=\tZm4rkOdd"
SHORT = "Zm4k"
FILED = 'Zm4rkFiled pa$$word ${HOME}\n Zm4rkFiled `id` #"'
ENV_FILE = f"# of this test\nexport FILED='{FILED}'\nLOG_LEVEL=info-level # public\n"
VAULTED = "Zm4rkVaulted"
VAULT_PASSWORD = Secret("Zm4rkVaultPassword")
SECRETS = {
    "PASSWORD": SECRET,
    "LINES": LINES.removesuffix("\n"),
    "ODD": ODD,
    "SHORT": SHORT,
    "URL": f"db://app:{VAULTED}@db/app",
    "FILED": FILED,
}
MARKS = (SECRET, "Zm4rkLines", "Zm4rkOdd", "Zm4rkFiled", SHORT, SUDO_PASSWORD, "Zm4rkVault")
REFERENCES = {
    "PASSWORD": "env:TINYAPP_PASSWORD",
    "LINES": "file:lines.secret",
    "ODD": "command:cat odd.secret",
    "SHORT": "env:TINYAPP_SHORT",
    "URL": "db://app:{{ vaulted }}@db/app",
}
KEYS = {"secrets": REFERENCES, "env_file": {"path": "prod.env", "public": ["LOG_LEVEL"]}}
HEALTH = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "min_healthy": "200ms"}
IMPATIENT = {**HEALTH, "deadline": "3s"}  # for what will never be well
ALLOWED = re.compile(r"opt/tinyapp/releases/[^/]+/env/[^/]+\.env")
PRINTS_ITS_ENVIRONMENT = "/bin/sh -c 'env; exit 7'"


def closed(text: str) -> dict[str, str]:
    """Return a value of an inventory in JSON, encrypted as by ansible-vault."""
    return {"__ansible_vault": sealed(Secret(text), VAULT_PASSWORD)}


def forms(mark: str) -> set[bytes]:
    """Return a mark as it is, and as it looks within base64 at any of its three alignments."""
    raw = mark.encode()
    found = {raw}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
        found.add(encoded[4 if before else 0 : (before + len(raw)) * 8 // 6 // 4 * 4].encode())
    return {form for form in found if len(form) >= len(SHORT)}


NEEDLE = re.compile(b"|".join(re.escape(f) for mark in MARKS for f in sorted(forms(mark))))


def leaks(content: bytes | str) -> list[bytes]:
    """Return the lines in which a secret can be read."""
    raw = content.encode() if isinstance(content, str) else content
    return [line for line in raw.splitlines() if NEEDLE.search(line)]


@dataclass
class Watch:
    """Looks at every process's arguments, and at the hosts' transaction files, again and again."""

    lab: Lab
    seen: set[bytes] = field(default_factory=set)
    looks: int = 0

    @contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._look_until, args=(over,), name="watch")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _look_until(self, over: threading.Event) -> None:
        while not over.wait(0.02):
            self.looks += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):  # the hosts' processes are here, too
                self._look_at(path)
            for host in self.lab.hosts.values():
                for path in (host.upper / "var/lib/shipit/txn").glob("*"):
                    self._look_at(path)

    def _look_at(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError:
            return  # it has ended
        if NEEDLE.search(content):
            self.seen.add(str(path).encode() + b": " + content.replace(b"\0", b" "))


@dataclass
class Deploys:
    """The commands that were run, and what was observed."""

    workspace: Workspace
    watch: Watch
    reported: dict[str, Done] = field(default_factory=dict)

    def shipit(self, *words: str) -> Done:
        done = self.workspace.shipit(*words)
        self.reported[f"{len(self.reported)}. {' '.join(words)}"] = done
        return done

    def ship(self, version: str, *words: str, fault: str = "", **changes: object) -> Done:
        self.workspace.wheel(version, fault)
        health = IMPATIENT if fault else HEALTH
        values = {**KEYS, "health": health, **changes}
        self.workspace.playbook(version, **values)
        return self.shipit("deploy", *words)


@pytest.fixture(scope="module")
def deploys(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Deploys:
    """Deploy with secrets, run every read-only command, fail, and roll back."""
    lab.reset()
    workspace = Workspace.set(tmp_path_factory.mktemp("secrets"), lab)
    workspace.env["TINYAPP_SHORT"] = SHORT
    (workspace.folder / "lines.secret").write_text(LINES)
    (workspace.folder / "odd.secret").write_text(ODD)
    (workspace.folder / "prod.env").write_text(ENV_FILE)
    whole = yaml.safe_load(lab.inventory(groups={"web": HOSTS}))
    login = {"ansible_user": "pwsudo", "ansible_become_password": closed(SUDO_PASSWORD)}
    whole["all"]["hosts"]["web2"].update(login)
    whole["all"].setdefault("vars", {})["vaulted"] = closed(VAULTED)
    workspace.inventory(HOSTS, json.dumps(whole))
    (workspace.folder / "vault.password").write_text(VAULT_PASSWORD.reveal())
    workspace.env["ANSIBLE_VAULT_PASSWORD_FILE"] = str(workspace.folder / "vault.password")
    deploys = Deploys(workspace, Watch(lab))
    with deploys.watch.looking():
        assert deploys.ship("1.0.0", "-vv").status == 0, deploys.reported
        assert deploys.ship("1.1.0", "--json", "-vv").status == 0, deploys.reported
        broken = deploys.ship("1.2.0", "-vv", fault="healthz")
        assert broken.status == 4, broken.output
        smoke = deploys.ship("1.3.0", "-vv", smoke=PRINTS_ITS_ENVIRONMENT)
        assert smoke.status == 3, smoke.output
        assert deploys.ship("1.3.0", "--json", smoke=PRINTS_ITS_ENVIRONMENT).status == 3
        assert deploys.shipit("rollback", "-vv").status == 0
    for words in (
        *("plan -D -vv", "plan --json -D", "status -vv", "status --json", "releases"),
        *("releases --json", "doctor", "doctor --json", "logs", "logs --json"),
    ):
        deploys.shipit(*words.split())
    return deploys


def test_the_service_gets_every_secret_as_it_is(deploys: Deploys) -> None:
    page = "/env?" + "&".join(f"key={key}" for key in SECRETS)
    for host in HOSTS:
        assert deploys.workspace.serves(host, page) == SECRETS


def test_nothing_that_is_printed_shows_a_secret(deploys: Deploys) -> None:
    shown = {words: leaks(done.output) for words, done in deploys.reported.items()}
    assert not any(shown.values()), {words: lines for words, lines in shown.items() if lines}


def test_a_failing_smoke_command_is_quoted_with_its_secrets_masked(deploys: Deploys) -> None:
    ended = [done for words, done in deploys.reported.items() if "deploy" in words]
    failed = [done for done in ended if "smoke-failed" in done.output]
    assert len(failed) == 2  # for people and as JSON
    for done in failed:
        assert "PASSWORD=***" in done.output, done.output
        assert "FILED=***" in done.output, done.output
        assert "LOG_LEVEL=info-level" in done.output
        assert "PATH=" in done.output


def test_no_process_had_a_secret_among_its_arguments_nor_a_transaction_in_its_files(
    deploys: Deploys,
) -> None:
    assert deploys.watch.looks > 20
    assert not deploys.watch.seen


def test_the_journal_has_no_secret(deploys: Deploys) -> None:
    for host in HOSTS:
        agents = deploys.workspace.sh(
            host, "journalctl --no-pager -o cat -u shipit-tinyapp.service"
        )
        assert not leaks(agents)
        assert not leaks(deploys.workspace.sh(host, "journalctl --no-pager --all -o export | cat"))


def test_on_the_hosts_disk_only_root_s_env_files_have_them(deploys: Deploys) -> None:
    for host in deploys.workspace.lab.hosts.values():
        holding = {path for path in files_below(host.upper) if holds(path)}
        names = {str(path.relative_to(host.upper)) for path in holding}
        assert {name for name in names if not ALLOWED.fullmatch(name)} == set()
        assert len(names) >= len(HOSTS)
        for path in holding:
            assert (mode(path), path.stat().st_uid) == (0o600, 0)
            assert (mode(path.parent), path.parent.stat().st_uid) == (0o700, 0)
        marks = "".join(f" -e {mark}" for mark in MARKS)
        assert (
            deploys.workspace.sh(host.name, f"grep -rlaF{marks} /run /tmp /dev/shm || true") == ""
        )


def test_the_controller_s_folder_has_them_only_where_the_operator_put_them(
    deploys: Deploys,
) -> None:
    holding = {path.name for path in files_below(deploys.workspace.folder) if holds(path)}
    assert holding == {"lines.secret", "odd.secret", "prod.env", "vault.password"}


def test_a_plan_shows_that_a_secret_has_changed_but_not_its_value(deploys: Deploys) -> None:
    deploys.workspace.playbook("1.0.0", **KEYS, health=HEALTH)
    changed = {"TINYAPP_PASSWORD": f"{SECRET}-changed"}
    done = deploys.workspace.shipit("plan", "-D", env=changed)
    assert "PASSWORD" in done.out, done.output
    assert "ODD" not in done.out
    assert not leaks(done.output)


def test_a_plan_shows_that_a_variable_of_an_env_file_has_changed(deploys: Deploys) -> None:
    deploys.workspace.playbook("1.0.0", **KEYS, health=HEALTH)
    path = deploys.workspace.folder / "prod.env"
    assert "nothing to do" in deploys.workspace.shipit("plan").out
    path.write_text(ENV_FILE.replace("Zm4rkFiled pa", "Zm4rkFiled-changed pa"))
    done = deploys.workspace.shipit("plan", "-D")
    path.write_text(ENV_FILE)
    assert "deploy 1.0.0-" in done.out, done.output
    assert "~ web: FILED" in done.out
    assert "LOG_LEVEL" not in done.out
    assert not leaks(done.output)


@pytest.mark.parametrize("words", [("-vv",), ("--json",)])
def test_a_service_that_logs_its_secrets_is_quoted_with_these_masked(
    deploys: Deploys, words: tuple[str, ...]
) -> None:
    """From here on the hosts' journal has them: the service has put them there itself."""
    services = {"web": {"command": "/usr/bin/env"}}
    health = {
        "checks": [{"tcp": f"127.0.0.1:{PORT + 7}"}],
        "deadline": "2s",
        "min_healthy": "100ms",
    }
    again = ("--override-hold", "-m", "to see its log in another form")
    done = deploys.ship("1.4.0", *words, *again, services=services, health=health)
    assert done.status == 4, done.output
    assert "PASSWORD=***" in done.output, done.output
    assert not leaks(done.output)
    deploys.workspace.playbook("1.0.0", **KEYS, health=HEALTH)
    logs = deploys.workspace.shipit("logs", *words)
    assert "FILED=***" in logs.output
    assert not leaks(logs.output)


ROTATED = "r0tated-Kp3x9TqL"  # the controller does not know it any more
LOGS_ITS_SECRETS = {"command": "/bin/sh -c 'env; exec sleep 1000'", "stop_timeout": "1s"}
CUT_ANSWER = "import os, sys; sys.stdout.write('x' * 490 + os.environ['PASSWORD']); sys.exit(1)"


def test_a_rotated_secret_leaves_no_host_any_more(deploys: Deploys) -> None:
    """The release before, whose log shows its old password, is gone back to twice."""
    web = {"command": "tinyapp", "socket": PORT, "handover": "restart"}
    services = {"web": web, "worker": LOGS_ITS_SECRETS}
    old, new = {"TINYAPP_PASSWORD": ROTATED}, {"TINYAPP_PASSWORD": f"{SECRET}-changed"}
    deploys.workspace.env.update(old)
    assert deploys.ship("1.5.0", services=services).status == 0
    deploys.workspace.env.update(new)
    output = [deploys.ship("1.6.0", "-vv", fault="healthz", services=services)]
    assert output[0].status == 4
    cut = {**IMPATIENT, "checks": [{"command": f'python -c "{CUT_ANSWER}"'}]}
    deploys.workspace.playbook("1.6.0", **KEYS, services=services, health=cut)
    again = ("--override-hold", "-m", "with another check")
    output.append(deploys.shipit("deploy", "--json", "-vv", *again))
    deploys.workspace.wheel("1.7.0")
    deploys.workspace.playbook("1.7.0", **KEYS, services=services, health=HEALTH)
    output.append(deploys.shipit("deploy", "-vv"))
    output += [
        deploys.shipit(*words.split())
        for words in ("rollback -vv", "logs", "logs --json", "status --json", "releases --json")
    ]
    assert [done.status for done in output] == [4, 4, 0, 0, 0, 0, 0, 0], [d.output for d in output]
    assert "PASSWORD=***" in output[4].output
    for done in output:
        assert not re.search(f"{ROTATED[:5]}|{SECRET[:5]}", done.output), done.output


def test_what_others_than_root_may_read_holds_no_secret_and_no_digest_of_one(
    deploys: Deploys,
) -> None:
    for host in deploys.workspace.lab.hosts.values():
        manifests = list(host.upper.glob("opt/tinyapp/releases/*/manifest.json"))
        assert {(mode(path), path.stat().st_uid) for path in manifests} == {(0o600, 0)}
        ledger = (host.upper / "opt/tinyapp/ledger.jsonl").read_text()
        assert not re.search(f"{ROTATED[:5]}|{SECRET[:5]}", ledger)


def files_below(top: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(top):
        for path in (Path(folder, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def holds(path: Path) -> bool:
    return bool(NEEDLE.search(path.read_bytes()))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
