from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from shipit.lab.claim import Claim, free_slot, kill, started_at
from shipit.lab.commands import LabError, held
from shipit.lab.image import SUITES, base_image, obstacles_of
from shipit.lab.lab import Lab

EVERY_CAPABILITY = (1 << 41) - 1


def the_obstacles(
    *,
    is_root: bool = True,
    capabilities: int = EVERY_CAPABILITY,
    missing: tuple[str, ...] = (),
    has_keyring: bool = True,
) -> list[str]:
    return obstacles_of(
        is_root=is_root, capabilities=capabilities, missing=missing, has_keyring=has_keyring
    )


def test_a_complete_machine_has_no_obstacles() -> None:
    assert the_obstacles() == []


def test_each_obstacle_has_a_hint() -> None:
    assert the_obstacles(is_root=False, capabilities=0, has_keyring=False) == [
        "a lab needs root: run it with sudo",
        "no Debian archive keys: apt-get install debian-archive-keyring",
    ]


def test_missing_commands_are_reported_by_package() -> None:
    missing = ("systemd-nspawn", "ssh", "ssh-keygen")
    assert the_obstacles(missing=missing) == [
        "no systemd-nspawn: apt-get install systemd-container",
        "no ssh and ssh-keygen: apt-get install openssh-client",
    ]


def test_root_of_an_unprivileged_container_is_not_enough() -> None:
    assert the_obstacles(capabilities=EVERY_CAPABILITY & ~(1 << 21)) == [
        "root without CAP_SYS_ADMIN (an unprivileged container?)"
    ]


def test_a_lab_takes_the_first_free_subnet() -> None:
    routes = [IPv4Network("10.213.1.0/24"), IPv4Network("192.0.2.0/24")]
    assert free_slot([], []) == 0
    assert free_slot([0], routes) == 2


def test_a_wide_route_does_not_block_a_subnet() -> None:
    assert free_slot([], [IPv4Network("10.0.0.0/8")]) == 0
    with pytest.raises(LabError, match="lab-no-subnet"):
        free_slot([], [IPv4Network("10.213.0.0/16")])


def test_a_claim_is_orphaned_when_its_owner_has_ended() -> None:
    now = started_at(os.getpid())
    assert not Claim(0, Path("/x"), os.getpid(), now).is_orphaned
    assert Claim(0, Path("/x"), os.getpid(), now - 1).is_orphaned
    assert Claim(0, Path("/x"), 2**22 + 1, now).is_orphaned  # above the kernel's highest id


def test_names_on_the_machine_fit_a_link_and_do_not_overlap() -> None:
    widest = Claim(199, Path("/x"), 1, 1).machine(99)
    assert len(widest) <= 15
    assert Claim(7, Path("/x"), 1, 1).address(0) == "10.213.7.10"


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([], "lab-bad-names"),
        (["web1", "web1"], "lab-bad-names"),
        (["../etc"], "lab-bad-names"),
        (["web_1"], "lab-bad-names"),
        (["-web"], "lab-bad-names"),
        (["w" * 64], "lab-bad-names"),
        ([f"web{n}" for n in range(101)], "lab-bad-names"),
    ],
)
def test_names_that_cannot_be_hostnames_are_refused(
    names: list[str], code: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError) as error:
        Lab.up(names, tmp_path)
    assert error.value.code == code


def test_a_disk_for_an_unknown_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-host"):
        Lab.up(["web1"], tmp_path, disk={"web2": "10M"})


def test_a_directory_that_overlay_options_cannot_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="lab-bad-directory"):
        Lab.up(["web1"], tmp_path / "a,b")


def test_the_wait_for_a_lock_has_a_timeout(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock, timeout=1), pytest.raises(LabError, match="lab-busy"), held(lock, timeout=0):
        pass
    with held(lock, timeout=0):
        pass


@pytest.mark.parametrize("many", [0, 1, -1])
def test_only_one_process_can_be_killed(many: int) -> None:
    with pytest.raises(ValueError, match="not one process"):
        kill(many)


def test_missing_archive_keys_are_reported_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noble = replace(SUITES["noble"], keyring=tmp_path / "ubuntu.gpg")
    monkeypatch.setitem(SUITES, "noble", noble)
    with pytest.raises(LabError, match=r"no archive keys of Ubuntu 24.04 .*\[lab-no-keys\]"):
        base_image(tmp_path / "cache", suite="noble")
