"""Hosts that fetch their wheels themselves: from an object store, and from servers that fail."""

from __future__ import annotations

import hashlib
import io
import ssl
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

import certificates
import file_server
import object_store
import wheelhouse
from hosts.workspace import PORT, Done, Workspace, ended
from patience import until
from shipit.archive import object_store as shipit_store
from shipit.secrets import SecretUrl
from signing import Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from file_server import FileServer
    from shipit.lab.lab import Lab

SERVICES = {"web": {"command": "tinyapp", "socket": PORT, "stop_timeout": "5s"}}
PATH = "/releases/tinyapp.shipit"
SIGNED = f"{PATH}?X-Amz-Signature=sentinelsentinelsentinel"
PATIENCE = 60.0  # seconds


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Give one host, and a project that bundles are built from."""
    lab.reset("web1")
    made = Workspace.set(tmp_path_factory.mktemp("pull"), lab, hosts=["web1"])
    made.env["SHIPIT_CACHE_DIR"] = str(made.folder / "cache")
    site = made.folder / "site"
    site.mkdir()
    wheelhouse.write_lock(site / "requirements.txt", [wheelhouse.tinyapp_wheel(made.wheels)])
    return made


@pytest.fixture(scope="module")
def gateway(lab: Lab) -> str:
    """Return the address by which hosts reach this machine."""
    return lab.hosts["web1"].address.rpartition(".")[0] + ".1"


@pytest.fixture
def server(gateway: str) -> Iterator[FileServer]:
    with file_server.serving({}, gateway) as server:
        yield server


def playbook(workspace: Workspace, **keys: object) -> None:
    usual: dict[str, Any] = {"services": SERVICES, "health": [{"tcp": PORT}], "smoke": None}
    workspace.playbook(**{"wheel": None, "lock": None, "wheelhouse": None, **usual, **keys})


def built(workspace: Workspace, name: str) -> bytes:
    """Build the bundle of the project with another file, which makes another release."""
    (workspace.folder / "site" / "mysite.py").write_text(f"NAME = {name!r}\n")
    playbook(workspace, project="site", wheelhouse="wheels")
    done = workspace.shipit("build", "--json")
    assert done.status == 0, done.output
    path = workspace.folder / str(done.result["bundles"][0])
    content = path.read_bytes()
    path.unlink()
    return content


def pulling(workspace: Workspace, url: str, content: bytes) -> None:
    """Name a bundle at a URL in the playbook; this machine reads it when it is deployed."""
    sha256 = hashlib.sha256(content).hexdigest()
    playbook(workspace, bundle={"url": url, "sha256": sha256}, transfer="pull")


def offered(workspace: Workspace, server: FileServer, name: str) -> bytes:
    """Build a bundle, put it where hosts fetch it, and name it in the playbook."""
    content = built(workspace, name)
    server.files[PATH] = content
    pulling(workspace, server.url(SIGNED), content)
    assert workspace.shipit("plan").status == 0, "this machine has read it"
    return content


def on_host(workspace: Workspace, word: str) -> str:
    """Return the files of shipit and lines of the journal on the host that have a word."""
    files = f"grep -rl {word} /var/lib/shipit /opt/tinyapp /etc/systemd /run/systemd /tmp || true"
    return workspace.sh("web1", f"{files}; journalctl --no-pager | grep {word} || true")


def releases(workspace: Workspace) -> str:
    return workspace.sh("web1", "ls /opt/tinyapp/releases /var/lib/shipit/incoming")


def problem(done: Done) -> dict[str, Any]:
    """Return why the host failed, after a deploy that changed nothing."""
    assert done.status == 3, done.output
    found: dict[str, Any] = done.reported("host-failed")[0]["problem"]
    assert "sentinel" not in done.output
    return found


def test_a_host_fetches_from_an_object_store_by_a_url_that_is_signed_for_it(
    workspace: Workspace, gateway: str
) -> None:
    content = built(workspace, "1")
    with object_store.serving(gateway) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setitem(workspace.env, name, value)
        file = workspace.folder / "tinyapp.shipit"
        file.write_bytes(content)
        store.put("releases", file)
        for name, value in store.environment.items():
            patch.setenv(name, value)
        signed = shipit_store.signed(SecretUrl("s3://releases/tinyapp.shipit"), 60)
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in signed
        pulling(workspace, "s3://releases/tinyapp.shipit", content)
        plan = workspace.shipit("plan")
        assert "  pulls     3 wheels" in plan.out, plan.output
        done = workspace.shipit("deploy", "--json", "-v")
        assert done.status == 0, done.output
        missing = workspace.asked("plan")["web1"]["missing"]
    assert missing == []
    assert workspace.serves("web1")["version"] == "1.0.0"
    assert done.reported("sent") == []
    last = done.reported("pulled")[-1]
    assert last["done"] == last["total"] > 10_000_000, "the wheel of uv alone has more"
    for text in (plan.output, done.output):
        assert "Signature=" not in text
        assert "sentinel" not in text.lower()
    assert on_host(workspace, "AKIASENTINEL") == "", "the key's name is in the signed URL"


def test_later_it_fetches_only_what_it_lacks(workspace: Workspace, server: FileServer) -> None:
    content = built(workspace, "2")
    server.files[PATH] = content
    pulling(workspace, server.url(SIGNED), content)
    done = workspace.shipit("deploy", "--json")
    assert done.status == 0, done.output
    (first, *rest) = [asked for asked in server.ranges() if asked]
    assert rest == [], "the app's wheel is one piece"
    size = done.reported("pulled")[-1]["total"]
    start, end = map(int, first.removeprefix("bytes=").split("-"))
    assert end - start + 1 == size < 10_000
    assert workspace.sh("web1", "cat /opt/tinyapp/current/venv/app/mysite.py") == "NAME = '2'"


def test_other_bytes_at_the_url_are_refused_and_nothing_is_staged(
    workspace: Workspace, server: FileServer
) -> None:
    content = offered(workspace, server, "3")
    server.files[PATH] = content.replace(b"NAME = '3'", b"NAME = 'x'")
    before = releases(workspace)
    found = problem(workspace.shipit("deploy", "--json"))
    assert (found["code"], found["step"]) == ("pull-corrupt", "pull")
    assert releases(workspace) == before
    assert workspace.serves("web1")["version"] == "1.0.0"

    server.files[PATH], server.has_ranges = content, False
    done = workspace.shipit("deploy", "--json")
    assert done.status == 0, f"a server without ranges is read through: {done.output}"


def test_an_expired_signature_is_the_hosts_failure(
    workspace: Workspace, server: FileServer
) -> None:
    offered(workspace, server, "4")
    server.refusals[PATH] = 403
    before = releases(workspace)
    found = problem(workspace.shipit("deploy", "--json"))
    assert found["code"] == "pull-refused"
    assert "status 403" in found["what"]
    assert "expired" in found["hint"]
    assert releases(workspace) == before


def test_a_server_that_hangs_is_left_and_nobody_fetches(
    workspace: Workspace, server: FileServer
) -> None:
    offered(workspace, server, "5")
    server.requests.clear()
    server.cuts, server.cut_at, server.hangs = -1, 100, True
    before = releases(workspace)
    running = workspace.start("deploy", "--json")
    until(lambda: any(server.ranges()), lambda: server.requests, PATIENCE)
    processes = workspace.sh("web1", "ps -eo user:20,args | grep '[.]pyz download'")
    assert processes.split()[0] == "nobody"
    assert len(processes.splitlines()) == 1
    assert "sentinel" not in workspace.sh(
        "web1", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ || true"
    )
    found = problem(ended(running))
    assert found["code"] == "pull-failed"
    assert "gave no answer within" in found["what"]
    assert releases(workspace) == before
    assert workspace.sh("web1", "pgrep -c -u nobody || true") == "0"
    assert on_host(workspace, "sentinelsentinel") == ""


def test_the_hosts_own_certificates_count(workspace: Workspace, gateway: str) -> None:
    content = built(workspace, "6")
    certificate, key = certificates.write(workspace.folder, gateway)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with file_server.serving({PATH: content}, gateway, tls) as server:
        playbook(workspace, bundle=server.url(SIGNED), transfer="pull")
        trusting = {"SSL_CERT_FILE": str(certificate)}
        assert workspace.shipit("deploy").status == 2, "this machine does not know it, either"
        found = problem(workspace.shipit("deploy", "--json", env=trusting))
        assert found["code"] == "pull-failed"
        assert "certificate is refused" in found["what"]

        ask = "import ssl; print(ssl.get_default_verify_paths().openssl_cafile)"
        known = workspace.sh("web1", f"python3 -c '{ask}'")
        text = certificate.read_text()
        workspace.sh("web1", f"mkdir -p {PurePosixPath(known).parent}; echo '{text}' > {known}")
        done = workspace.shipit("deploy", "--json", env=trusting)
        workspace.sh("web1", f"rm {known}")
    assert done.status == 0, done.output
    assert "sentinel" not in done.output


def test_a_host_goes_through_the_proxy_of_its_environment(
    workspace: Workspace, server: FileServer
) -> None:
    content = built(workspace, "7")
    url = "http://store.example.com/x.shipit"
    server.files[url] = content
    pulling(workspace, url, content)
    proxy = f"http_proxy={server.origin}"
    workspace.sh("web1", f"cp /etc/environment /root/environment; echo {proxy} >> /etc/environment")
    done = workspace.shipit("deploy", "--json", env={"http_proxy": server.origin})
    workspace.sh("web1", "mv /root/environment /etc/environment")
    assert done.status == 0, done.output
    assert [path for path, headers in server.requests if "range" in headers] == [url]


def test_a_host_that_wants_signatures_gets_the_one_beside_the_url(
    workspace: Workspace, server: FileServer
) -> None:
    content, key = built(workspace, "8"), Key.make(workspace.folder / "keys")
    server.files[PATH] = content
    pulling(workspace, server.url(SIGNED), content)
    known = "/etc/shipit/allowed_signers"
    line = key.line("ci").strip()
    workspace.sh("web1", f"install -d /etc/shipit; echo '{line}' > {known}; chmod 644 {known}")
    found = problem(workspace.shipit("deploy", "--json"))
    assert found["code"] == "unsigned"
    assert not any(server.ranges()), "nothing was fetched"

    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        text = bundle.read("bundle.json").decode()
    server.files[f"{PATH}.sig"] = key.signature(text).encode()
    done = workspace.shipit("deploy", "--json")
    workspace.sh("web1", f"rm {known}")
    assert done.status == 0, done.output
    assert any(server.ranges())
