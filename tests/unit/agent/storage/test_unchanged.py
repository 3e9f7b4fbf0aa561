"""A release that was touched is verified again; an untouched one is not read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agent_builders
from marks import needs_root
from shipit.agent.protocol import messages
from shipit.agent.storage import blobs, drift, unchanged
from unit.agent.server.test_server import (  # noqa: F401 - fixtures
    Deployed,
    deployed,
    edit,
    folder,
    site_packages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = needs_root


def appended(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("# edited\n")


TOUCHES: dict[str, Callable[[Path], object]] = {
    "edited": appended,
    "replaced": edit,
    "removed": Path.unlink,
    "added": lambda path: path.with_name("http.py").touch(),
    "added below": lambda path: (path.parent / "demoapp" / "new.py").touch(),
    "link added": lambda path: path.with_name("json").symlink_to("/usr/lib"),
    "python": lambda path: edit(path.parents[3] / "bin" / "python"),
    "text": lambda path: edit(path.parents[4] / "files" / "app.ini"),
    "mode of a text": lambda path: (path.parents[4] / "files" / "app.ini").chmod(0o666),
    "env": lambda path: appended(path.parents[4] / "env" / "web.env"),
    "manifest": lambda path: (path.parents[4] / "manifest.json").unlink(),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_whatever_is_touched_is_verified_again(
    deployed: Deployed,  # noqa: F811
    touch: Callable[[Path], object],
) -> None:
    controller, manifest, _host = deployed
    assert unchanged.since_verified(controller.paths, manifest.id)
    touch(site_packages(controller, manifest) / "demodep.py")
    assert not unchanged.since_verified(controller.paths, manifest.id)


def test_bytecode_and_other_names_of_a_file_are_no_change(
    deployed: Deployed,  # noqa: F811
    tmp_path: Path,
) -> None:
    controller, manifest, _host = deployed
    packages = site_packages(controller, manifest)
    (packages / "demoapp" / "__pycache__" / "x.cpython-311.opt-1.pyc").touch()
    os.link(packages / "demodep.py", tmp_path / "of-another-release.py")
    assert unchanged.since_verified(controller.paths, manifest.id)


def test_a_wheel_that_is_gone_or_was_touched_is_a_change(deployed: Deployed) -> None:  # noqa: F811
    controller, manifest, _host = deployed
    blob = Path(controller.paths.blob(manifest.app_wheel.sha256))
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + b"x")
    assert not unchanged.since_verified(controller.paths, manifest.id)
    (found,) = drift.of(controller.paths, manifest.id)
    assert (found.code, found.path) == ("blob-damaged", str(blob))


def test_a_hello_reads_nothing_of_what_was_not_touched(
    deployed: Deployed,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controller, _manifest, _host = deployed
    monkeypatch.setattr(blobs, "digest_of", None)
    monkeypatch.setattr(drift, "of", None)
    facts = controller.ask(messages.Hello("demo", controller.paths.root, compare=True))
    assert facts.drift == ()


def test_a_hello_that_compares_names_what_was_changed_and_counts_no_damaged_wheel(
    deployed: Deployed,  # noqa: F811
) -> None:
    controller, manifest, _host = deployed
    digest = manifest.app_wheel.sha256
    path = edit(site_packages(controller, manifest) / "demodep.py")
    Path(controller.paths.blob(digest)).write_bytes(b"rotten")
    hello = messages.Hello("demo", controller.paths.root, (digest,), compare=True)
    facts = controller.ask(hello)
    assert ("file-changed", path) in {(each.code, each.path) for each in facts.drift}
    assert facts.present == ()


def test_a_change_that_only_a_look_at_every_byte_shows_is_remembered(
    deployed: Deployed,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A file with several names whose time was put back: status finds it, and then all do."""
    controller, manifest, _host = deployed
    path = site_packages(controller, manifest) / "demodep.py"
    os.link(path, tmp_path / "of-another-release.py")
    before = path.stat()
    appended(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    hello = messages.Hello("demo", controller.paths.root, compare=True)
    assert controller.ask(hello).drift == ()
    assert [each.code for each in controller.ask(messages.AskStatus()).drift] == ["file-changed"]
    assert [each.code for each in controller.ask(hello).drift] == ["file-changed"]


def test_a_release_of_an_earlier_version_is_verified_once(deployed: Deployed) -> None:  # noqa: F811
    controller, manifest, host = deployed
    host.inactive.clear()
    Path(controller.paths.release(manifest.id).verified_stamp).unlink()
    unit = Path(controller.paths.units) / agent_builders.UNIT
    assert unit.exists()
    hello = messages.Hello("demo", controller.paths.root, compare=True)
    assert controller.ask(hello).drift == ()
    assert unchanged.since_verified(controller.paths, manifest.id)
