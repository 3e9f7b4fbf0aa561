"""Which playbooks let hosts fetch their wheels, and what a host is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fsspec
import pytest

from shipit.archive import file
from shipit.errors import InputError, Mistake
from shipit.playbook.project import pinned
from shipit.project.cache import Cache
from shipit.release import pulling
from shipit.release.build import Blob
from shipit.release.inputs import ResolvedInput, RunOptions
from shipit.release.pulling import RemoteBundle
from shipit.rollout.prepare import wanted_by
from shipit.secrets import SecretUrl
from unit.archive.made import bundle

if TYPE_CHECKING:
    from pathlib import Path

URL = "memory://pulling/x.shipit"
SIGNED = "https://me:pw@store.example.com/x.shipit?X-Amz-Signature=deadbeefdeadbeefdead"
PLAYBOOK = """\
app: billing
hosts: all
transfer: pull
services: {web: {command: python -m billing}}
"""


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder, self.bundle = folder, bundle(folder)
        (folder / "inventory.yaml").write_text("all: {hosts: {web1: {}, web2: {}}}\n")
        with fsspec.open(URL, "wb") as out:
            out.write(self.bundle.read_bytes())

    def wanted(self, line: str, given: str = "") -> list[ResolvedInput]:
        text = PLAYBOOK.replace("transfer: pull\n", "") if "transfer" in line else PLAYBOOK
        (self.folder / "playbook.yaml").write_text(f"{text}{line}\n")
        inventory, named = (self.folder / "inventory.yaml",), pinned(given) if given else None
        run = RunOptions(self.folder / "playbook.yaml", inventory, bundle=named)
        (found,) = wanted_by(run, lambda _: None)
        return found

    def refused(self, line: str) -> Mistake:
        with pytest.raises(InputError) as caught:
            self.wanted(line)
        return caught.value.mistakes[0]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    return Site(tmp_path)


@pytest.fixture
def _can_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make fsspec's own store in memory one that can sign."""
    store = type(fsspec.filesystem("memory"))

    def sign(_self: object, path: str, expiration: int = 100) -> str:
        return f"https://store.example.com{path}?expires={expiration}"

    monkeypatch.setattr(store, "sign", sign)


@pytest.mark.usefixtures("_can_sign")
@pytest.mark.parametrize("line", [f"bundle: {URL}", "project: project\nwheelhouse: wheels"])
def test_hosts_fetch_from_a_url_that_the_store_signs(site: Site, line: str) -> None:
    first, _ = site.wanted(line, URL)
    pulled = pulling.of(first)
    assert pulled
    whole = site.bundle.read_bytes()
    found = file.read(site.bundle, Cache(site.folder / "cache"))
    for sha256, path in found.wheels.items():
        request = pulled.request([Blob(sha256, path, path.stat().st_size)])
        assert request.url == "https://store.example.com/pulling/x.shipit?expires=3600"
        (piece,) = request.pieces
        assert piece.filename == path.name
        assert whole[piece.offset :][: piece.size] == path.read_bytes()


def test_a_store_that_cannot_sign_is_known_before_a_host_is_asked(site: Site) -> None:
    mistake = site.refused(f"bundle: {URL}")
    assert (mistake.code, URL in mistake.what) == ("pull-unsigned", True)


@pytest.mark.parametrize("line", ["bundle: {}", "project: project\nwheelhouse: wheels"])
def test_without_a_url_there_is_nothing_to_fetch(site: Site, line: str) -> None:
    mistake = site.refused(line.format(json.dumps(str(site.bundle))))
    assert mistake.code == "pull-without-url"
    assert mistake.place
    assert mistake.place.line == 3


def test_without_the_key_wheels_are_sent(site: Site) -> None:
    assert [pulling.of(each) for each in site.wanted(f"bundle: {URL}\ntransfer: push")] == [
        None
    ] * 2


def test_an_https_url_is_used_as_it_is_and_shown_without_its_credentials() -> None:
    pulled = RemoteBundle(SecretUrl(SIGNED), {})
    assert pulled.request([]).url == SIGNED
    assert str(pulled) == "https://***@store.example.com/x.shipit?***"
    assert "deadbeef" not in f"{pulled!r}{pulled.request([])!r}"
