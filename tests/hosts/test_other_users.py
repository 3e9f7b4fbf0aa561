"""Other users of a host play tricks on root: none of their programs runs as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.scene import Scene

if TYPE_CHECKING:
    from shipit.lab import Lab

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
def scene(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    lab.reset()
    scene = Scene.set(tmp_path_factory.mktemp("others"), lab, hosts=["web1"])
    scene.sh("web1", PLANT)
    return scene


def uids(scene: Scene) -> set[str]:
    return set(scene.sh("web1", f"cat {UIDS} 2>/dev/null || true").split())


def test_programs_in_other_peoples_folders_never_run_as_root(scene: Scene) -> None:
    scene.wheel("1.0.0")
    scene.playbook("1.0.0")
    for words in (["plan"], ["deploy"], ["status"], ["logs"], ["doctor"]):
        done = scene.shipit(*words)
        assert done.status == 0, done.said
        assert "0" not in uids(scene), words


def test_a_python_that_is_not_used_is_named_with_its_owner(scene: Scene) -> None:
    scene.playbook("1.0.0", python=">=3.14")
    done = scene.shipit("plan")
    assert done.status == 3, done.said
    for path in ("/opt/vendor/bin/python3", "/opt/linked/bin/python3.13"):
        assert f"{path} is not used" in done.said
    for words in ("/opt/vendor belongs to vendor, mode 0755", "chown root: /opt/vendor"):
        assert words in done.said


def test_of_equal_pythons_the_systems_own_is_chosen(scene: Scene) -> None:
    scene.sh("web1", OWN)
    scene.wheel("1.0.1")
    scene.playbook("1.0.1")
    assert scene.shipit("deploy").status == 0
    chosen = scene.sh("web1", "grep interpreter /opt/tinyapp/current/manifest.json")
    assert "/usr/bin/python3" in chosen
