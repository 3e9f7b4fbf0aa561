"""An older build does not replace a newer one unless it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab import Lab


def test_an_older_version_is_refused_and_may_be_allowed(fresh: Lab, tmp_path: Path) -> None:
    scene = Scene.set(tmp_path, fresh)
    for version in ("1.9.0", "1.10.0"):
        done = scene.deploy(version)
        assert done.status == 0, done.said
    refused = scene.deploy("1.9.0", "--json")
    assert refused.status == 3, refused.said
    assert {line["problem"]["code"] for line in refused.told("host-failed")} == {"older-release"}
    assert set(scene.versions().values()) == {"1.10.0"}
    assert scene.shipit("rollback").status == 0
    assert set(scene.versions().values()) == {"1.9.0"}
    assert scene.deploy("1.8.0", "--allow-older").status == 0
    assert set(scene.versions().values()) == {"1.8.0"}
