"""Blobs from a URL: believed by their digests alone, and the URL is shown to nobody."""

from __future__ import annotations

import hashlib
import random
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from file_server import FileServer, serving
from shipit.agent.protocol.messages import ProtocolError
from shipit.agent.protocol.pulls import Piece, Pull, Pulled
from shipit.agent.storage import blobs, pull
from shipit.agent.system import trust
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths
from shipit.transport import agent_zip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.agent.protocol.messages import Failure

PATH, TOKEN = "/releases/x.shipit", "tok-deadbeefdeadbeef"
CONTENT = random.Random(1).randbytes(2_000_000)  # noqa: S311 - a test's
# The first three are near each other; the last is far from them.
PLACES = ((100, 70_000), (70_200, 1), (70_300, 300_000), (1_500_000, 400_000))


def piece(offset: int, size: int, content: bytes = CONTENT) -> Piece:
    digest = hashlib.sha256(content[offset : offset + size]).hexdigest()
    return Piece(digest, f"thing-{offset}-py3-none-any.whl", offset, size)


PIECES = tuple(piece(*place) for place in PLACES)


class Host:
    """A host's store, and a server with a bundle."""

    def __init__(self, folder: Path, server: FileServer) -> None:
        self.paths, self.server = Paths("demo", "/opt/demo", var=str(folder / "var")), server
        self.zip = folder / "agent.pyz"
        self.zip.write_bytes(agent_zip.build().content)
        self.reported: list[Pulled] = []
        self.watch = lambda: None

    def pull(self, *pieces: Piece, url: str = "", argv: Sequence[str] = ()) -> None:
        ask = Pull(url or self.server.url(f"{PATH}?sig={TOKEN}"), pieces or PIECES)
        argv = argv or [sys.executable, "-I", "-S", str(self.zip), "download"]
        pull.pull(self.paths, ask, argv, self.reported.append, self.watch)

    def refused(self, *pieces: Piece, url: str = "", argv: Sequence[str] = ()) -> Failure:
        with pytest.raises(Refused) as caught:
            self.pull(*pieces, url=url, argv=argv)
        failure = caught.value.failure
        assert TOKEN not in repr(failure)
        assert failure.hint
        assert self.incoming() == []
        return failure

    def incoming(self) -> list[str]:
        return [path.name for path in Path(self.paths.incoming("")).iterdir()]

    def present(self) -> list[bool]:
        """Return of each of the usual pieces whether it is a whole blob."""
        found = [Path(self.paths.blob(each.sha256)) for each in PIECES]
        return [
            path.exists() and path.read_bytes() == _of(each)
            for path, each in zip(found, PIECES, strict=True)
        ]


def _of(found: Piece) -> bytes:
    return CONTENT[found.offset : found.offset + found.size]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in (*pull.PROXIES, *(name.upper() for name in pull.PROXIES)):
        monkeypatch.delenv(name, raising=False)
    with serving({PATH: CONTENT}) as server:
        yield Host(tmp_path, server)


def test_pieces_that_lie_together_are_one_request(host: Host) -> None:
    host.pull(*reversed(PIECES))
    assert host.server.ranges() == ["bytes=100-370299", "bytes=1500000-1899999"]
    assert host.present() == [True] * 4
    assert host.incoming() == []
    assert blobs.missing(host.paths, ()) == ()
    total = sum(size for _, size in PLACES)
    assert host.reported[-1] == Pulled(total, total)
    assert all(each.total == total for each in host.reported)


def test_a_server_without_ranges_is_read_through(host: Host) -> None:
    host.server.has_ranges = False
    host.pull()
    assert (len(host.server.requests), host.present()) == (1, [True] * 4)


def test_what_breaks_off_is_continued_where_it_was(host: Host) -> None:
    host.server.cuts, host.server.cut_at = 2, 100_000
    host.pull()
    assert host.server.ranges()[:3] == [f"bytes={at}-370299" for at in (100, 100_100, 200_100)]
    assert host.present() == [True] * 4


def test_one_that_always_breaks_off_is_left_and_what_came_whole_stays(host: Host) -> None:
    host.server.cuts, host.server.cut_at = -1, 80_000
    failure = host.refused()
    assert failure.code == "pull-failed"
    assert "broke off in the middle" in failure.what
    assert host.present() == [True, True, False, False]


def test_other_bytes_are_refused(host: Host) -> None:
    changed = bytearray(CONTENT)
    changed[70_300] ^= 1
    host.server.files[PATH] = bytes(changed)
    failure = host.refused()
    assert failure.code == "pull-corrupt"
    assert "thing-70300-py3-none-any.whl has other bytes" in failure.what
    assert host.present() == [True, True, False, False]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_reported_and_not_tried_again(host: Host, status: int) -> None:
    host.server.answers = [status]
    failure = host.refused()
    assert failure.code == "pull-refused"
    assert f"status {status}" in failure.what
    assert len(host.server.requests) == 1


def test_a_file_that_is_too_short_is_refused(host: Host) -> None:
    host.server.files[PATH] = CONTENT[:1000]
    assert host.refused().code == "pull-failed"


def test_a_server_that_is_busy_is_asked_again(host: Host) -> None:
    host.server.answers = [503]
    host.pull()
    assert host.present() == [True] * 4


def test_a_server_that_is_not_there(host: Host) -> None:
    assert host.refused(url=f"http://127.0.0.1:1/x?{TOKEN}").code == "pull-failed"
    failure = host.refused(url=f"https://{host.server.origin.partition('//')[2]}/x?{TOKEN}")
    assert failure.code == "pull-failed"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1/x", "x"])
def test_nothing_but_http_is_fetched(host: Host, url: str) -> None:
    assert host.refused(url=f"{url}?{TOKEN}").code == "pull-failed"


def test_a_redirect_takes_the_range_along_and_no_credentials(host: Host) -> None:
    with serving({PATH: CONTENT}) as other:
        host.server.redirects["/x"] = other.url(PATH).replace("127.0.0.1", "localhost")
        host.pull(PIECES[0], url=host.server.url("/x").replace("://", f"://me:{TOKEN}@"))
        ((_, headers),) = other.requests
    assert "authorization" not in headers
    assert headers["range"] == "bytes=100-70099"
    ((_, headers),) = host.server.requests
    assert headers["authorization"] == f"Basic {b64encode(f'me:{TOKEN}'.encode()).decode()}"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/x"])
def test_a_redirect_leads_nowhere_else(host: Host, to: str) -> None:
    host.server.redirects["/x"] = to
    assert host.refused(url=host.server.url(f"/x?{TOKEN}")).code in ("pull-refused", "pull-failed")


def test_it_goes_through_the_hosts_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", host.server.origin)
    host.server.files["http://store.example.com/x"] = CONTENT
    host.pull(url="http://store.example.com/x")
    assert host.present() == [True] * 4


def test_a_proxy_that_others_could_set_is_not_used(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "environment"
    file.write_text('export HTTPS_PROXY="http://proxy:1"\nhttp_proxy=http://127.0.0.1:1\n\xff')
    monkeypatch.setattr(pull, "ENVIRONMENT", str(file))
    host.pull()
    assert host.present() == [True] * 4
    monkeypatch.setattr(trust, "weakness", lambda _: None)
    found = pull._environment()
    assert (found["HTTPS_PROXY"], found["http_proxy"]) == ("http://proxy:1", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://session:1")
    assert pull._environment()["http_proxy"] == "http://session:1"
    assert "LD_PRELOAD" not in found


def test_a_server_that_stays_silent_is_left(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "PATIENCE", 0.5)
    host.server.cuts, host.server.cut_at, host.server.hangs = -1, 80_000, True
    assert host.refused().what.endswith("nothing more came from the URL")


def test_all_of_it_takes_a_limited_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "LONGEST", 0.5)
    host.server.cuts, host.server.cut_at, host.server.hangs = -1, 80_000, True
    assert host.refused().code == "pull-failed"


class Gone(Exception):
    """The controller has gone."""


def test_it_ends_with_its_controller(host: Host) -> None:
    def leave() -> None:
        raise Gone

    host.watch = leave
    host.server.cuts, host.server.cut_at, host.server.hangs = -1, 80_000, True
    with pytest.raises(Gone):
        host.pull()
    assert host.incoming() == []


def saying(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", f"import sys; {code}"]


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("sys.exit(1)", "has ended without a reason"),
        ("sys.exit('{}')", "has ended without a reason"),
        ("sys.exit('[1]')", "has ended without a reason"),
        ('sys.exit(\'{"code": "rm-rf", "what": "x"}\')', "has ended without a reason"),
        ('sys.exit(\'{"code": "pull-failed", "what": 1}\')', "has ended without a reason"),
        ('sys.exit(\'x\\n{"code": "pull-failed", "what": "so"}\')', "cannot be fetched: so"),
        (f'sys.exit(\'{{"code": "pull-failed", "what": "?sig={TOKEN}"}}\')', "fetched: ?***"),
        ("sys.stdout.write('x' * 1000000)", "has other bytes"),
        ("sys.stderr.write('x' * 1000000)", "has ended without a reason"),
    ],
)
def test_of_the_process_nothing_is_believed(host: Host, code: str, what: str) -> None:
    assert what in host.refused(argv=saying(code)).what


def test_what_it_says_is_short(host: Host) -> None:
    said = 'print(\'{"code": "pull-failed", "what": "\' + "x" * 5000 + \'"}\', file=sys.stderr)'
    assert len(host.refused(argv=saying(said)).what) < 400


@pytest.mark.parametrize(
    "wrong", [Piece("../x", "x.whl", 0, 1), Piece("0" * 64, "x.whl", 0, blobs.BLOB_LIMIT + 1)]
)
def test_a_piece_that_cannot_be_is_refused(host: Host, wrong: Piece) -> None:
    with pytest.raises(ProtocolError):
        host.pull(wrong)
    assert host.server.requests == []
