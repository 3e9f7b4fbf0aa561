"""A bundle at a URL: fetched once, verified like any other, and its credentials shown to nobody."""

from __future__ import annotations

import resource
import shutil
import ssl
from base64 import b64encode
from typing import TYPE_CHECKING

import fsspec
import pytest

import certificates
from file_server import FileServer, serving
from shipit.archive import remote, signature
from shipit.commands.bundle import Signature, signed_by
from shipit.errors import InputError, Mistake
from shipit.events import Event, Fetching, Noted, SecretsKnown
from shipit.playbook.project import pinned
from shipit.project.cache import sha256_of
from unit.archive.made import bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shipit.archive.file import Bundle
    from shipit.project.cache import Cache

TOKEN = "deadbeefdeadbeefdeadbeef"
PATH = "/releases/billing.shipit"
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"


class Site:
    """A server with a bundle, and what is reported of fetching it."""

    def __init__(self, path: Path, server: FileServer, store: Cache) -> None:
        self.server, self.store = server, store
        self.sha256, self.size = sha256_of(path), path.stat().st_size
        self.events: list[Event] = []

    def read(self, url: str = "", sha256: str | None = None) -> Bundle:
        digest = self.sha256 if sha256 is None else sha256
        named = (url or self.server.url(PATH)) + (f"#sha256={digest}" if digest else "")
        return remote.read(pinned(named), self.store, self.events.append)

    def refused(self, url: str = "", sha256: str | None = None) -> Mistake:
        with pytest.raises(InputError) as caught:
            self.read(url, sha256)
        (mistake,) = caught.value.mistakes
        assert mistake.hint
        return mistake

    def asked(self) -> list[str]:
        """Return the requests for the bundle itself."""
        paths = (path.partition("?")[0] for path, _ in self.server.requests)
        return [path for path in paths if not path.endswith(".sig")]

    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Noted)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPIT_CACHE_DIR", str(folder / "cache"))
        return bundle(folder)


@pytest.fixture
def site(
    tmp_path: Path, made: Path, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    for name in ("http_proxy", "all_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))
    with serving({PATH: made.read_bytes()}) as server:
        yield Site(made, server, store)


def test_one_with_a_known_digest_is_fetched_once(site: Site) -> None:
    found = site.read()
    assert (found.sha256, found.name) == (site.sha256, site.server.url(PATH))
    assert site.read().wheels == found.wheels
    assert len(site.asked()) == 1
    assert site.notes() == [f"fetched {site.server.url(PATH)} ({site.size / 1e6:.1f} MB)"]
    site.store.folder.joinpath("bundles", f"{site.sha256}.shipit").write_bytes(b"changed")
    site.read()
    assert len(site.asked()) == 2, "what lies in the cache is verified"


def test_its_signature_is_what_lies_beside_it_now(site: Site) -> None:
    assert site.read().signed is None
    site.server.files[f"{PATH}.sig"] = SIGNATURE
    url = site.server.url(f"{PATH}?token={TOKEN}")
    found = site.read(url)
    assert found.signed
    assert found.signed.signature == SIGNATURE.decode()
    assert site.server.requests[-1][0] == f"{PATH}.sig?token={TOKEN}"
    site.server.answers = [503]
    assert site.read(url).signed == found.signed, "without an answer the last one counts"
    site.server.files[f"{PATH}.sig"] = SIGNATURE * 50
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "LARGEST_SIGNATURE", 1000)
        assert site.read(url).signed == found.signed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "SIGNATURE_WAIT", 0.1)
        site.server.cuts, site.server.hangs = 1, True
        assert site.read(url).signed == found.signed
    del site.server.files[f"{PATH}.sig"]
    assert site.read(url).signed is None
    assert len(site.asked()) == 1


def test_a_page_instead_of_a_signature_is_none(site: Site, tmp_path: Path) -> None:
    site.server.files[f"{PATH}.sig"] = b"<html>\xff no such page</html>"
    found = site.read()
    assert (found.signed, found.damaged) == (None, None)
    assert not signature.path_of(found.path).exists()
    why = "what is fetched as its signature is none"
    assert unsigned(found, tmp_path).what == why
    assert site.notes()[-1] == f"{site.server.url(PATH)} counts as unsigned: {why}"
    site.server.files[f"{PATH}.sig"] = SIGNATURE
    assert site.read().signed
    site.server.files[f"{PATH}.sig"] = b"<html>"
    assert site.read().signed, "the last one counts"


def test_a_signature_that_cannot_be_fetched_is_not_called_missing(
    site: Site, tmp_path: Path
) -> None:
    site.server.refusals[f"{PATH}.sig"] = 503
    url = site.server.url(f"{PATH}?token={TOKEN}")
    found = site.read(url)
    mistake = unsigned(found, tmp_path)
    why = "its signature cannot be fetched: HTTP Error 503: Service Unavailable"
    assert (mistake.what, TOKEN in str(mistake)) == (why, False)
    assert site.notes()[-1] == f"{found.name} counts as unsigned: {why}"
    assert signed_by(found, None) == Signature("", "", why)
    site.server.refusals.clear()
    found = site.read(url)
    assert unsigned(found, tmp_path).what.startswith("the bundle is not signed")
    assert signed_by(found, None) == Signature("", "")


def test_a_damaged_signature_of_a_file_is_noted(site: Site, made: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.shipit"
    shutil.copy(made, path)
    signature.path_of(path).write_bytes(b"\xff")
    assert remote.read(pinned(str(path)), site.store, site.events.append).signed is None
    (note,) = site.notes()
    assert note.startswith(f"{path} counts as unsigned: the signature cannot be read")


def unsigned(found: Bundle, signers: Path) -> Mistake:
    """Return the mistake where one of its signers is asked for."""
    with pytest.raises(InputError) as caught:
        signed_by(found, signers)
    (mistake,) = caught.value.mistakes
    assert (mistake.code, bool(mistake.hint)) == ("unsigned", True)
    return mistake


def test_the_download_is_reported_and_ends(site: Site) -> None:
    site.read()
    known = [event for event in site.events if isinstance(event, Fetching)]
    assert known[-1].is_over
    assert known[-1].what == f"fetching {site.server.url(PATH)}"


def test_another_one_than_was_pinned_is_refused(site: Site) -> None:
    mistake = site.refused(sha256="0" * 64)
    assert (mistake.code, str(mistake.place)) == ("wrong-hash", site.server.url(PATH))


def test_without_protection_a_digest_is_needed(site: Site) -> None:
    mistake = site.refused(sha256="")
    what = "a bundle over http:// can be replaced on the way: it needs a digest"
    assert (mistake.code, mistake.what) == ("bundle-unpinned", what)
    assert site.server.requests == []


def test_what_fsspec_knows_is_fetched_by_it(site: Site) -> None:
    with fsspec.open("memory://releases/billing.shipit", "wb") as out:
        out.write(site.server.files[PATH])
    assert site.read("memory://releases/billing.shipit", sha256="").sha256 == site.sha256
    assert site.refused("memory://releases/none.shipit", sha256="").code == "missing-bundle"


def test_the_package_of_a_store_is_named(site: Site) -> None:
    mistake = site.refused("gs://releases/billing.shipit", sha256="")
    assert mistake.code == "store-package-missing"
    assert mistake.hint == "pip install 'shipit[remote]' gcsfs"
    assert site.refused("nowhere://x/y", sha256="").code == "fetch-failed"


@pytest.mark.parametrize("by", ["url", "netrc", "NETRC"])
def test_credentials_reach_the_server_alone(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    login = f"me:{TOKEN}"
    url = site.server.url(PATH)
    if by == "url":
        url = url.replace("://", f"://{login}@")
    else:
        netrc = tmp_path / (".netrc" if by == "netrc" else "other")
        monkeypatch.setenv("NETRC", str(netrc)) if by == "NETRC" else None
        netrc.write_text(f"machine 127.0.0.1 login me password {TOKEN}\n")
        netrc.chmod(0o600)
    with serving({PATH: site.server.files[PATH]}) as other:
        site.server.redirects[PATH] = other.url(PATH).replace("127.0.0.1", "localhost")
        site.read(url)
        headers = next(headers for path, headers in other.requests if path == PATH)
        assert "authorization" not in headers, "it was redirected"
    headers = next(headers for path, headers in site.server.requests if path == PATH)
    assert headers["authorization"] == f"Basic {b64encode(login.encode()).decode()}"
    assert TOKEN not in repr(site.events)


@pytest.mark.parametrize(
    ("status", "code"), [(403, "fetch-failed"), (401, "fetch-failed"), (404, "missing-bundle")]
)
def test_a_refusal_is_reported_without_the_signature(site: Site, status: int, code: str) -> None:
    site.server.answers = [status]
    url = site.server.url(f"{PATH}?X-Amz-Signature={TOKEN}&x=1")
    mistake = site.refused(url.replace("://", "://me:pass-word@"))
    assert mistake.code == code
    assert str(mistake.place) == site.server.url(f"{PATH}?***").replace("://", "://***@")
    hide = next(event.hide for event in site.events if isinstance(event, SecretsKnown))
    for secret in (TOKEN, "pass-word"):
        assert secret not in f"{mistake}{site.events}"
        assert hide(f"x {secret} y") == "x *** y"
    assert len(site.asked()) == 1, "another attempt would be refused as well"


def test_what_may_pass_is_tried_again(site: Site) -> None:
    site.server.answers = [503]
    site.server.cuts, site.server.cut_at = 1, 1000
    site.read()
    assert len(site.asked()) == 3


def test_one_that_always_breaks_off_is_refused_after_a_few_attempts(site: Site) -> None:
    site.server.cuts, site.server.cut_at = -1, 1000
    mistake = site.refused()
    assert (mistake.code, "IncompleteRead" in mistake.what) == ("fetch-failed", True)
    assert len(site.asked()) == 3
    assert list(site.store.folder.glob("bundles/*")) == []


def test_a_server_that_says_nothing_more_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "STALLED", 0.1)
    site.server.cuts, site.server.cut_at, site.server.hangs = -1, 1000, True
    mistake = site.refused()
    assert mistake.what == "the download of the bundle came to a halt, or takes too long"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_no_redirect_leads_to_files_or_other_protocols(site: Site, to: str) -> None:
    site.server.redirects[PATH] = to
    assert site.refused().code == "fetch-failed"


def test_one_that_is_too_large_is_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LARGEST", 1000)
    mistake = site.refused()
    assert (mistake.code, mistake.what) == ("fetch-failed", "the bundle has more than 1000 bytes")
    assert "network" not in mistake.hint
    assert len(site.asked()) == 1


@pytest.mark.parametrize("by", ["http", "memory"])
def test_a_full_disk_is_not_called_a_network_error(site: Site, by: str) -> None:
    url = site.server.url(PATH)
    if by == "memory":
        url = "memory://releases/full.shipit"
        with fsspec.open(url, "wb") as out:
            out.write(site.server.files[PATH])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        mistake = site.refused(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (mistake.code, "free some space" in mistake.hint) == ("cache-unusable", True)
    assert len(site.asked()) == (by == "http"), "another attempt would fail as well"


def test_https_is_verified_and_never_left_for_http(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificates.write(tmp_path, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving({"/x": site.server.files[PATH]}, tls=tls) as server:
        mistake = site.refused(server.url("/x"), sha256="")
        assert "certificate verify failed" in mistake.what
        assert "set SSL_CERT_FILE to its certificates" in mistake.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert site.read(server.url("/x"), sha256="").sha256 == site.sha256
        server.redirects["/y"] = site.server.url(PATH)
        mistake = site.refused(server.url("/y"), sha256="")
    assert "it redirects to an unprotected URL" in mistake.what
    assert site.server.requests == []
