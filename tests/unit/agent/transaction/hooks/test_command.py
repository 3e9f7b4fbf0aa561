"""What one command of a release gets to run in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fake_deploy import manifest
from fault_scenarios import HOOKED, NEW, hooked_upgrade, prepared
from shipit.agent.protocol.hooks import STAGED
from shipit.agent.transaction.hooks import command

if TYPE_CHECKING:
    from pathlib import Path


def test_a_hook_gets_missing_directories_made_and_leaves_present_ones_alone(
    tmp_path: Path,
) -> None:
    """With StateDirectory= on a present one, systemd would give it to the new user at once."""
    upgraded = prepared(tmp_path, hooked_upgrade)
    service = (
        "[Service]\nUser=root\nExecStart=/x\nStateDirectory=app there\nStateDirectoryMode=0700\n"
        "CacheDirectory=app\nRuntimeDirectory=app\n"
    )
    upgraded.machine.owners["/var/lib/there"] = (5, 5)
    wanted = manifest(upgraded.paths, NEW)
    texts = {f"units/{unit.name}": service for unit in wanted.units}
    upgraded.deploy(wanted, texts=texts)
    of = command.Run(upgraded.store, lambda _: None, wanted, STAGED)
    settings = command._directories(of, HOOKED[0])
    assert settings == [
        "StateDirectory=app",
        "StateDirectoryMode=0700",
        "CacheDirectory=app",
        "Environment=STATE_DIRECTORY=/var/lib/app:/var/lib/there",
        "Environment=CACHE_DIRECTORY=/var/cache/app",
    ]
    other = replace(HOOKED[0], user="somebody")
    assert command._directories(of, other) == []
