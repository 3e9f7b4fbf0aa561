"""Machines by Vagrant, replaced by a script here; `make rehearsal` runs the real one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

from project import TOP
from shipit.inventory import model
from shipit.lab.commands import LabError
from shipit.rehearsal.providers import vagrant
from shipit.rehearsal.providers.vagrant import Vagrant, ssh_settings

if TYPE_CHECKING:
    from pathlib import Path

SSH_CONFIG = """
Host web1
  HostName 192.168.121.7
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/home/a person/key one"
  IdentityFile /other

Host web2.example.com
  HostName 127.0.0.1
  User vagrant
  Port 22
  IdentityFile /key
"""
# Notes what it is asked for beside itself; FAIL names the command that fails.
PROGRAM = """\
#!/bin/sh
echo "$*" >>{here}/asked
case "$1" in
  "$FAIL") echo 'no room for it'; exit 1;;
  ssh-config) echo '==> vagrant: A new version is there!'; cat {here}/ssh_config;;
  destroy) echo '==> web1: Removing domain...';;
  up) echo '==> web1: Starting domain.'; echo '==> web1:  -- Memory: 512M'; echo '    web1: 10%';;
esac
"""
SSH = """\
#!/bin/sh
echo "$*" >>{here}/asked
case "$*" in
  *ssh_host_ed25519_key.pub) echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhv root@web";;
  *unreachable*) echo 'No route to host' >&2; exit 255;;
  *) cat; exit 3;;
esac
"""
NAMES = ("web1", "web2.example.com")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `vagrant` and an `ssh` that come first on the PATH."""
    for name, text in {"vagrant": PROGRAM, "ssh": SSH}.items():
        (tmp_path / name).write_text(text.format(here=tmp_path))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "ssh_config").write_text(SSH_CONFIG)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FAIL", "nothing")
    return tmp_path


def asked(here: Path) -> list[str]:
    return (here / "asked").read_text().splitlines()


def up(here: Path, reported: list[str] | None = None) -> Vagrant:
    report = reported.append if reported is not None else list[str]().append
    return Vagrant.up(NAMES, here / "home", report)


def test_ssh_config_is_read_with_its_quotes_and_the_first_of_several_values() -> None:
    found = ssh_settings(SSH_CONFIG.splitlines())
    assert list(found) == list(NAMES)
    assert found["web1"]["IdentityFile"] == "/home/a person/key one"
    assert (found["web1"]["Port"], found["web2.example.com"]["Port"]) == ("2222", "22")


def test_the_inventory_leads_to_the_machines_with_their_keys_pinned(here: Path) -> None:
    machines = up(here)
    (here / "inventory.yaml").write_text(machines.inventory())
    hosts = {host.name: host.vars for host in model.load([here / "inventory.yaml"]).hosts}
    assert list(hosts) == list(NAMES)
    assert hosts["web1"]["ansible_host"] == "192.168.121.7"
    assert hosts["web1"]["ansible_port"] == 2222
    assert hosts["web1"]["ansible_become"] is True
    assert hosts["web1"]["shipit_host_key"] == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhv"


def test_the_removal_command_is_reported_before_the_first_machine(
    here: Path,
) -> None:
    reported = list[str]()
    up(here, reported)
    first, *rest = reported
    assert first.endswith(f"cd {here}/home && vagrant destroy --force")
    assert rest == ["web1: Starting domain.", "vagrant: A new version is there!"]


def test_vagrant_takes_the_machines_from_the_inventory_beside_its_file(here: Path) -> None:
    up(here)
    home = here / "home"
    assert (home / "Vagrantfile").read_text() == (TOP / "Vagrantfile").read_text()
    written = json.loads((home / "inventory.yaml").read_text())
    assert list(written["rehearsal"]["hosts"]) == list(NAMES)


def test_a_failed_up_destroys_the_machines_and_shows_vagrant_s_output(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "up")
    with pytest.raises(LabError, match="vagrant up ended with 1: no room for it"):
        up(here)
    assert asked(here) == ["up", "destroy --force"]
    assert list((here / "home").iterdir()) == []


def test_ctrl_c_while_they_boot_destroys_them(here: Path) -> None:
    def interrupt(text: str) -> None:
        if "Starting" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Vagrant.up(NAMES, here / "home", interrupt)
    assert asked(here) == ["up", "destroy --force"]
    assert list((here / "home").iterdir()) == []


def test_a_failed_destroy_keeps_the_folder_and_reports_the_removal_command(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = list[str]()
    machines = up(here, reported)
    monkeypatch.setenv("FAIL", "destroy")
    with pytest.raises(LabError, match="vagrant destroy --force ended with 1"):
        machines.down()
    assert reported[-1] == f"machines may be left; remove them: {machines.removal}"
    assert (here / "home" / "Vagrantfile").exists()


def test_a_second_ctrl_c_keeps_the_folder_and_reports_the_removal_command(here: Path) -> None:
    reported = list[str]()

    def interrupt(text: str) -> None:
        reported.append(text)
        if "Removing" in text:
            raise KeyboardInterrupt

    machines = Vagrant.up(NAMES, here / "home", interrupt)
    with pytest.raises(KeyboardInterrupt):
        machines.down()
    assert reported[-1] == f"machines may be left; remove them: {machines.removal}"
    assert (here / "home" / "Vagrantfile").exists()


def test_the_end_leaves_an_empty_folder(here: Path) -> None:
    machines = up(here)
    (machines.folder / "inventory.yaml").touch()
    machines.down()
    assert list((here / "home").iterdir()) == []


def test_a_command_runs_as_root_over_a_pinned_connection(here: Path) -> None:
    machines = up(here)
    done = machines.run("web1", "sh", "-c", "echo $1", input="given")
    assert (done.returncode, done.stdout) == (3, "given")
    line = asked(here)[-1]
    assert line.endswith("web1 sudo -n -- sh -c 'echo $1'")
    assert "StrictHostKeyChecking=yes" in line
    known = (here / "home/known_hosts").read_text()
    assert known.startswith("web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhv\n")


def test_a_machine_that_can_t_be_reached_is_an_error_and_no_exit_status(here: Path) -> None:
    with pytest.raises(LabError, match="web1 can't be reached: No route to host"):
        up(here).run("web1", "unreachable")


def test_other_output_of_vagrant_is_not_part_of_the_settings(here: Path) -> None:
    up(here)
    assert "new version" not in (here / "home/ssh_config").read_text()


def test_a_machine_without_a_host_key_is_an_error(here: Path) -> None:
    (here / "ssh").write_text("#!/bin/sh\necho 'cat: no such file' >&2; exit 1\n")
    with pytest.raises(LabError, match="web1 has no host key: cat: no such file"):
        up(here)
    assert asked(here)[-1] == "destroy --force"


def test_a_machine_that_vagrant_does_not_know_is_an_error(here: Path) -> None:
    (here / "ssh_config").write_text(SSH_CONFIG.partition("Host web2")[0])
    with pytest.raises(LabError, match=r"names no web2\.example\.com"):
        up(here)


def test_power_is_cut_and_restored_by_vagrant_commands(here: Path) -> None:
    machines = up(here)
    machines.power_cut("web1")
    machines.boot("web1")
    assert asked(here)[-2:] == ["halt --force web1", "up web1"]


def test_nothing_leads_vagrant_to_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "SHIPIT_MACHINES"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("SHIPIT_BOX", "some/box")
    environment = vagrant._environment()
    assert "elsewhere" not in environment.values()
    assert environment["SHIPIT_BOX"] == "some/box"


# --- the Vagrantfile, where Vagrant is there to read it -------------------------------------------


def machines_of(folder: Path, **env: str) -> list[str]:
    """Return the machines that the Vagrantfile defines in a folder."""
    if not shutil.which("vagrant"):
        pytest.skip("Vagrant is not installed here")
    shutil.copy(TOP / "Vagrantfile", folder)
    words = {"VAGRANT_HOME": str(folder / "vagrant"), "VAGRANT_CHECKPOINT_DISABLE": "1", **env}
    answer(folder, words, "validate")
    lines = [line.split(",") for line in answer(folder, words, "status", "--machine-readable")]
    return [line[1] for line in lines if line[2:3] == ["state"]]


def answer(folder: Path, env: dict[str, str], *words: str) -> list[str]:
    done = subprocess.run(
        ["vagrant", *words],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_the_vagrantfile_is_valid_and_makes_the_hosts_of_the_group_rehearsal(
    tmp_path: Path,
) -> None:
    (tmp_path / "inventory.yaml").write_text(
        textwrap.dedent("""
            all:
              children:
                web:
                  hosts: {"Web_[09:10]": , x.example.com: }
                db: {hosts: {d: }}
                rehearsal: {children: {web: }}
        """)
    )
    assert machines_of(tmp_path) == ["web-09", "web-10", "x.example.com"]
    assert machines_of(tmp_path, SHIPIT_MACHINES="a,b") == ["a", "b"]


def test_without_that_group_the_vagrantfile_makes_the_first_four_hosts(tmp_path: Path) -> None:
    (tmp_path / "inventory.example.yaml").write_text('all: {hosts: {"h[1:9]": }}\n')
    assert machines_of(tmp_path) == ["h1", "h2", "h3", "h4"]
