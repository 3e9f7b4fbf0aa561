"""Other users of a host, and wheels, play tricks on root: it runs none of their programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agent_builders
import wheelhouse
from hosts.links import at
from hosts.test_staging import PATHS, Release, Talk, blob
from hosts.workspace import Workspace
from shipit.agent.protocol import messages
from shipit.transport import agent_zip
from shipit.transport.connect import connect
from shipit.transport.ssh.client import Network
from wheelhouse import Recipe, write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab

UIDS = "/run/vendor/uids"  # who has run a program of vendor's
PLANT = f"""
set -e
id vendor >/dev/null 2>&1 || useradd --create-home vendor
install -d -m 1777 /run/vendor
put() {{
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\\nid -u >>{UIDS}\\nexec %s "$@"\\n' "$2" >"$1"
    chmod 755 "$1"
}}
put /opt/vendor/bin/python3 /usr/bin/python3
put /home/vendor/python3.13 /usr/bin/python3
put /home/vendor/python3.14 /usr/bin/python3
chown -R vendor: /opt/vendor /home/vendor
mkdir -p /opt/linked/bin
ln -sf /home/vendor/python3.13 /opt/linked/bin/python3.13
ln -sf /home/vendor/python3.14 /usr/local/bin/python3.14
for name in systemctl systemd-run systemd-analyze journalctl useradd sync; do
    put /usr/local/bin/$name "$(readlink -f "$(command -v $name)")"
    chown vendor: /usr/local/bin/$name
done
"""
OWN = """
mkdir -p /opt/aaa/bin
cp "$(readlink -f /usr/bin/python3)" /opt/aaa/bin/python3
"""


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    lab.reset("web1")
    workspace = Workspace.set(tmp_path_factory.mktemp("others"), lab, hosts=["web1"])
    workspace.sh("web1", PLANT)
    return workspace


def uids(workspace: Workspace) -> set[str]:
    return set(workspace.sh("web1", f"cat {UIDS} 2>/dev/null || true").split())


def test_programs_in_other_peoples_folders_never_run_as_root(workspace: Workspace) -> None:
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    for words in (["plan"], ["deploy"], ["status"], ["logs"], ["doctor"]):
        done = workspace.shipit(*words)
        assert done.status == 0, done.output
        assert "0" not in uids(workspace), words


def test_a_python_that_is_not_used_is_named_with_its_owner(workspace: Workspace) -> None:
    workspace.playbook("1.0.0", python=">=3.14")
    done = workspace.shipit("plan")
    assert done.status == 3, done.output
    for path in ("/opt/vendor/bin/python3", "/opt/linked/bin/python3.13"):
        assert f"{path} is not used" in done.output
    for words in ("/opt/vendor belongs to vendor, mode 0755", "chown root: /opt/vendor"):
        assert words in done.output


def test_of_equal_pythons_the_systems_own_is_chosen(workspace: Workspace) -> None:
    workspace.sh("web1", OWN)
    workspace.wheel("1.0.1")
    workspace.playbook("1.0.1")
    assert workspace.shipit("deploy").status == 0
    chosen = workspace.sh("web1", "grep interpreter /opt/tinyapp/current/manifest.json")
    assert "/usr/bin/python3" in chosen


# --- wheels that want to be run by root --------------------------------------------------------

SPY = f'#!/bin/sh\nid -u >>{UIDS}\nexec /usr/bin/python3 "$@"\n'
# A standard library of vendor's, for an interpreter that is sent to it by pyvenv.cfg or ._pth.
LIBRARY = f"""
set -e
mkdir -p /home/vendor/evil/bin /home/vendor/evil/lib
cp -r /usr/lib/python3.11 /home/vendor/evil/lib/
cp /usr/bin/python3.11 /home/vendor/evil/bin/
sed -i '1i import os; os.system("id -u >>{UIDS}")' /home/vendor/evil/lib/python3.11/compileall.py
chown -R vendor: /home/vendor/evil
"""
TRICKS = {
    "data/pyvenv.cfg": "home = /home/vendor/evil/bin\nversion = 3.11.2\n",
    "scripts/python": SPY,
    "data/bin/python3": SPY,
    "scripts/python._pth": "/home/vendor/evil/lib/python3.11\n",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_the_controller_sends_no_wheel_that_becomes_a_part_of_the_venv(
    workspace: Workspace, trick: str
) -> None:
    entry = f"dep-1.0.0.data/{trick}"
    wheel = write_wheel(workspace.wheels, Recipe("dep", files={entry: TRICKS[trick]}))
    workspace.lock(wheel)
    workspace.wheel("1.1.0", requires=["dep"])
    workspace.playbook("1.1.0")
    done = workspace.shipit("deploy", "--json")
    workspace.lock()
    wheel.unlink()
    assert done.status == 2, done.output
    (mistake,) = done.reported("error")
    assert mistake["code"] == "unsafe-wheel"
    assert entry in mistake["what"]
    assert wheel.name in mistake["what"]


@pytest.fixture(scope="module")
def talk(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """Talk to the agent as a controller does that looks at no wheel."""
    workspace.sh("web1", LIBRARY)
    with Network(home=tmp_path_factory.mktemp("home")) as network:
        link = connect(at(workspace.lab.hosts["web1"]), agent_zip.build(), network)
        wire = link.open()
        yield Talk(link, wire)
        wire.close()
        link.close()


def tricky(folder: Path, installer: str, trick: str) -> Release:
    """Make a release of an app with such an entry in its wheel."""
    files = {"tinyapp.py": "x = 1\n", f"tinyapp-6.6.6.data/{trick}": TRICKS[trick]}
    app = write_wheel(folder, Recipe("tinyapp", "6.6.6", files=files))
    tool = wheelhouse.installed_wheel(folder.parent / "installers", installer)
    bundle = agent_builders.Bundle(tool, app, ())
    made = agent_builders.manifest(PATHS, bundle, "6.6.6-aaaaaaaa", {})
    made = replace(made, user="tinyapp", interpreter="/usr/bin/python3.11")
    return Release(agent_builders.stage(made, {}, {}, "txn-666"), tuple(map(blob, bundle.all)))


@pytest.mark.parametrize("installer", ["uv", "pip"])
@pytest.mark.parametrize("trick", TRICKS)
def test_a_host_that_is_sent_such_a_wheel_does_not_run_it(
    workspace: Workspace, talk: Talk, tmp_path: Path, installer: str, trick: str
) -> None:
    workspace.sh("web1", f"rm -f {UIDS}")
    releases = workspace.sh("web1", f"ls -A {PATHS.releases}")
    failure = talk.stage(tricky(tmp_path, installer, trick))
    assert uids(workspace) == set()
    assert isinstance(failure, messages.Failure), failure
    assert failure.code in {"venv-replaced", "install-failed"}, failure
    assert Path(trick).name in failure.what + failure.evidence
    assert workspace.sh("web1", f"ls -A {PATHS.releases}") == releases
