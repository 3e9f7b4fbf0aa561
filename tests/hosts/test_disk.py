"""A disk that is full, out of inodes, read-only or rotten, at any moment of a deploy.

FAULTS=1 plays every amount of room and every moment on both disks; else each plays some of them.
What is refused before anything is written is in test_bad_input; a damaged agent in test_transport.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hosts.fault_cases import Fault
from hosts.sabotage import ERROR
from hosts.site import problems
from hosts.smalldisk import FULL, READ_ONLY, ROTTEN, SmallDisk, thoughtless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shipit.lab.lab import Lab

ALL = os.environ.get("FAULTS", "0") != "0"
FOLDERS = {"web1": "/opt/tinyapp", "web2": "/var/lib/shipit"}
# Left on the disk: too little for the venv, the texts, the journal or the ledger.
PAGES = {"web1": (0, 30), "web2": (2, 7)}
INODES = {"web1": (12, 40), "web2": (0, 2)}
MOMENTS = (
    *(("arm", "before"), ("activate", "before"), ("activate", "after")),
    *(("check", "before"), ("commit", "before")),
)
GOING_BACK = (Fault("check", "before", ERROR), Fault("revert", "before", FULL))
TXN = "/var/lib/shipit/txn/tinyapp.json"
AGENTS = "/var/lib/shipit/agent"
BLOBS = "/var/lib/shipit/blobs/sha256"


@pytest.fixture(scope="module")
def mounted(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[SmallDisk]]:
    """Give a host with its app on a small disk, and one with shipit's own store on one."""
    lab.reset()
    folder = tmp_path_factory.mktemp("disk")
    package = thoughtless(folder)
    with ThreadPoolExecutor() as pool:
        under = [
            pool.submit(SmallDisk.under, host, disk, lab, folder / host, package)
            for host, disk in FOLDERS.items()
        ]
    yield [site.result() for site in under]
    lab.reset()


@pytest.fixture
def disks(mounted: Sequence[SmallDisk]) -> Iterator[Sequence[SmallDisk]]:
    yield mounted
    for site in mounted:
        site.free()


def on_both(disks: Sequence[SmallDisk], act: Callable[[SmallDisk], object]) -> None:
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(act, site) for site in disks]:
            done.result()


def test_with_any_free_space_one_release_serves_and_nothing_blocks(
    disks: Sequence[SmallDisk],
) -> None:
    def sweep(site: SmallDisk) -> None:
        for pages in range(48) if ALL else PAGES[site.host]:
            site.leave(pages=pages)
            site.tries()
            site.free()
            site.follows()

    on_both(disks, sweep)


def test_with_any_free_inodes_one_release_serves_and_nothing_blocks(
    disks: Sequence[SmallDisk],
) -> None:
    def sweep(site: SmallDisk) -> None:
        for inodes in range(64) if ALL else INODES[site.host]:
            site.leave(inodes=inodes)
            site.tries()
            site.free()
            site.follows()

    on_both(disks, sweep)


@pytest.mark.parametrize("what", [FULL, READ_ONLY])
def test_a_disk_that_fails_meanwhile_leaves_one_release_and_nothing_blocks(
    disks: Sequence[SmallDisk], what: str
) -> None:
    cases = [Fault(state, when, what) for state, when in MOMENTS]

    def play(site: SmallDisk) -> None:
        own = disks.index(site)
        for case in cases if ALL else cases[1 + own :: 3]:
            site.meets(case)

    on_both(disks, play)


def test_a_rollback_needs_no_disk_space(disks: Sequence[SmallDisk]) -> None:
    on_both(disks, lambda site: site.meets(*GOING_BACK))


# --- bytes that are not what they were ------------------------------------------------------------


def test_bytes_that_were_damaged_in_transit_are_refused_and_sent_again(
    disks: Sequence[SmallDisk],
) -> None:
    site = disks[0]
    site.sh(f"touch {ROTTEN}")
    done = site.tries(blames_disk=False)
    assert done.status == 3, done.output
    assert [(each["code"], each["host"]) for each in problems(done)] == [
        ("blob-corrupt", site.host)
    ]
    assert f"tinyapp-{site.version}" in problems(done)[0]["what"]
    again = site.again()
    assert again.status == 0, again.output
    site.check(again, site.version)


def test_a_blob_that_the_disk_has_spoiled_is_never_installed(disks: Sequence[SmallDisk]) -> None:
    site = disks[1]
    site.follows()
    spoil = "printf '\\377\\377\\377\\377' | dd of=$blob bs=1 seek=100 conv=notrunc status=none"
    site.sh(f"for blob in $(find {BLOBS} -size -64k -type f); do {spoil}; done")
    site.sh("rm -rf /var/lib/shipit/uv-cache")  # which has them unpacked
    site.sh("touch -d '+1 hour' /opt/tinyapp/releases/*/proven")  # no time of a file shows it
    spoilt = site.again(smoke="/bin/true")  # a release of its own, of the same wheels
    assert spoilt.status == 3, spoilt.output
    assert [each["code"] for each in problems(spoilt)] == ["blob-corrupt"]
    assert site.serving() == site.version
    again = site.again(smoke="/bin/true")
    assert again.status == 0, again.output
    site.check(again, site.version)


def test_half_a_line_in_the_ledger_and_half_a_journal_block_no_deploy(
    disks: Sequence[SmallDisk],
) -> None:
    site = disks[0]
    whole = site.sh("cat /opt/tinyapp/ledger.jsonl").splitlines()[-1]
    half = whole[: len(whole) // 2]
    site.workspace.lab.run(site.host, "tee", "-a", "/opt/tinyapp/ledger.jsonl", input=half)
    site.workspace.lab.run(site.host, "tee", TXN, input='{"txn": "torn", "state": "che')
    status = site.workspace.asked("status")[site.host]
    assert (status["version"], status["drift"]) == (site.version, [])
    assert "journal-unreadable" in status["stuck"]  # nobody knows what it was about
    site.follows()
    assert site.workspace.asked("status")[site.host]["stuck"] == ""


def test_of_several_agents_the_right_one_is_used_and_old_ones_go(
    disks: Sequence[SmallDisk],
) -> None:
    site = disks[1]
    old, late = f"{AGENTS}/{'0' * 64}.pyz", f"{AGENTS}/{'1' * 64}.pyz"
    own = site.sh(f"ls {AGENTS}/*.pyz").split()
    assert len(own) == 2  # the second has its bytecode
    site.sh(f"for zip in {' '.join(own)}; do truncate -s 1000 $zip; done")
    site.sh(f"echo old > {old}; echo late > {late}; touch -d '-40 days' {old}")
    site.follows()
    site._settled()  # what is old is removed after the last word
    now = site.sh(f"ls {AGENTS}/*.pyz").split()
    assert old not in now
    restored = {*now} - {late}
    assert len(restored) == len(own)
    sums = site.sh(f"sha256sum {' '.join(restored)}").split()
    assert all(
        name.endswith(f"{digest}.pyz") for digest, name in zip(sums[::2], sums[1::2], strict=True)
    )
