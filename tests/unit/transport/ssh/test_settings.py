"""What ssh_config settles for a connection, played against a server of paramiko's on this machine.

The verdicts on host keys are compared with those of the real ssh client, which asks the same one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import paramiko
import pytest

from project import TOP
from shipit.errors import InputError, ShipitError, Unreachable
from shipit.secrets import Secret
from shipit.transport.endpoint import Endpoint
from shipit.transport.ssh.auth import certified_key
from shipit.transport.ssh.client import Network
from shipit.transport.ssh.config import FOLLOWED, WITHOUT_MEANING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0  # seconds
WEAK = {"ciphers": ("3des-cbc",), "digests": ("hmac-md5",)}


class Anyone(paramiko.ServerInterface):
    """Lets everybody in, and remembers what was offered."""

    def __init__(self, offered: list[str]) -> None:
        self._offered = offered

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._offered.append(key.get_name())
        return paramiko.common.AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        self._offered.append("password")
        return paramiko.common.AUTH_FAILED


@dataclass
class Server:
    """An ssh server with some keys; every connection is served until it ends."""

    keys: list[paramiko.PKey]
    security: dict[str, tuple[str, ...]] = field(default_factory=dict)
    offered: list[str] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def run(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        options = transport.get_security_options()
        for name, value in self.security.items():
            setattr(options, name, value)
        for key in self.keys:
            transport.add_server_key(key)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=Anyone(self.offered))
        transport.join(PATIENCE)
        transport.close()


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(PATIENCE)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, paramiko.PKey]:
    folder = tmp_path_factory.mktemp("keys")
    kinds = {"ed": ["ed25519"], "other": ["ed25519"], "rsa": ["rsa", "-b", "2048"], "ec": ["ecdsa"]}
    for name, kind in kinds.items():
        command = ["ssh-keygen", "-q", "-N", "", "-f", str(folder / name), "-t", *kind]
        subprocess.run(command, check=True)
    return {name: paramiko.PKey.from_path(folder / name) for name in kinds}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the home of a user with one key, no agent, and the config that a test writes."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    ssh = tmp_path / ".ssh"
    ssh.mkdir(mode=0o700)
    key = str(ssh / "id_ed25519")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return tmp_path


def configure(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)


def know(home: Path, *lines: str) -> None:
    (home / ".ssh" / "known_hosts").write_text("".join(f"{line}\n" for line in lines))


def line(hosts: str, key: paramiko.PKey) -> str:
    return f"{hosts} {key.get_name()} {key.get_base64()}"


def hashed(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def outcome(home: Path, server: Server, **changes: object) -> str:
    """Return the code of the error, or "" where we got in."""
    place: dict[str, object] = {"name": "web1", "address": "127.0.0.1", "port": server.port}
    try:
        with Network(home) as network:
            network.connect(Endpoint(**{**place, **changes})).close()  # type: ignore[arg-type]
    except Unreachable as error:
        return error.code
    except InputError as error:
        return error.mistakes[0].code
    return ""


def failure(home: Path, server: Server) -> Unreachable:
    place = Endpoint("web1", "127.0.0.1", port=server.port)
    with pytest.raises(Unreachable) as caught, Network(home) as network:
        network.connect(place)
    return caught.value


# --- host keys, as the real ssh judges them ----------------------------------------------------

LINES = {  # what known_hosts says; {p} is the port
    "the host with its port": ["[127.0.0.1]:{p} ed"],
    "the host with its port, hashed": ["# [127.0.0.1]:{p} ed"],
    "the bare host": ["127.0.0.1 ed"],
    "the bare host, hashed": ["# 127.0.0.1 ed"],
    "another key with the port, this one without": ["[127.0.0.1]:{p} other", "127.0.0.1 ed"],
    "this key with the port, another without": ["[127.0.0.1]:{p} ed", "127.0.0.1 other"],
    "another key with the port": ["[127.0.0.1]:{p} other"],
    "another key without the port": ["127.0.0.1 other"],
    "a key of another type with the port": ["[127.0.0.1]:{p} rsa"],
    "a key of another type with the port, this one without": [
        "[127.0.0.1]:{p} rsa",
        "127.0.0.1 ed",
    ],
    "another port": ["[127.0.0.1]:1 ed"],
    "a wildcard": ["[127.0.0.*]:{p} ed"],
    "a wildcard for all": ["* ed"],
    "a negation": ["!127.0.0.1,*.0.0.1 ed"],
    "a negation with the port": ["*,![127.0.0.1]:{p} ed"],
    "revoked with the port": ["[127.0.0.1]:{p} ed", "@revoked [127.0.0.1]:{p} ed"],
    "revoked everywhere": ["[127.0.0.1]:{p} ed", "@revoked * ed"],
    "an authority": ["@cert-authority [127.0.0.1]:{p} ed"],
    "nothing": [],
}


def written(spoken: str, keys: dict[str, paramiko.PKey], port: int) -> str:
    *head, name = spoken.format(p=port).split()
    if head[0] == "#":
        head = [hashed(head[1])]
    return line(" ".join(head), keys[name])


def ssh_lets_in(home: Path, server: Server, *options: str) -> bool:
    """Ask the real ssh; what it makes of the host's key shows before it runs anything."""
    command = [
        "ssh",
        "-F",
        str(home / ".ssh/config"),
        "-o",
        "BatchMode=yes",
        "-o",
        "LogLevel=DEBUG",
    ]
    command += [
        "-o",
        f"UserKnownHostsFile={home}/.ssh/known_hosts",
        "-i",
        str(home / ".ssh/id_ed25519"),
    ]
    command += ["-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", *options]
    command += ["-N", "-p", str(server.port), "root@127.0.0.1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        return any("Authenticated to" in said for said in process.stderr)
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stderr.close()


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh to compare with")
@pytest.mark.parametrize("alias", ["", "web1"])
@pytest.mark.parametrize("spoken", LINES.values(), ids=LINES)
def test_a_host_key_is_accepted_exactly_if_ssh_accepts_it(
    home: Path, keys: dict[str, paramiko.PKey], spoken: list[str], alias: str
) -> None:
    configure(home, f"Host *\n  HostKeyAlias {alias}\n" if alias else "")
    with serving(Server([keys["ed"]])) as server:
        lines = [written(each, keys, server.port) for each in spoken]
        know(home, *(each.replace("127.0.0.1", alias or "127.0.0.1") for each in lines))
        ours = outcome(home, server)
        assert (ours == "") is ssh_lets_in(home, server), ours
        assert ours in {"", "host-key-unknown", "host-key-changed", "host-key-revoked"}


def test_an_unknown_key_of_an_alias_is_reported_with_the_line_to_add(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    configure(home, "HostKeyAlias web1\n")
    with serving(Server([keys["ed"]])) as server:
        hint = failure(home, server).hint
        assert "ssh-keyscan" not in hint
        know(home, hint.split("`")[1])
        assert outcome(home, server) == ""


def test_known_hosts_are_read_from_where_ssh_config_says(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    configure(home, "UserKnownHostsFile ~/.ssh/none ~/.ssh/known.d/%k\nGlobalKnownHostsFile none\n")
    with serving(Server([keys["ed"]])) as server:
        (home / ".ssh/known.d").mkdir()
        (home / ".ssh/known.d/127.0.0.1").write_text(line("127.0.0.1", keys["ed"]))
        assert outcome(home, server) == ""
        know(home, line("127.0.0.1", keys["ed"]))
        (home / ".ssh/known.d/127.0.0.1").unlink()
        assert outcome(home, server) == "host-key-unknown"


def test_the_known_type_of_key_is_requested_first(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    with serving(Server([keys["ed"], keys["ec"], keys["rsa"]])) as server:
        for known in ("rsa", "ec", "ed"):
            know(home, line(f"[127.0.0.1]:{server.port}", keys[known]))
            assert outcome(home, server) == "", known


@pytest.mark.parametrize("pin", [False, True], ids=["known_hosts", "pinned"])
def test_a_key_of_revoked_host_keys_is_refused(
    home: Path, keys: dict[str, paramiko.PKey], *, pin: bool
) -> None:
    configure(home, "RevokedHostKeys ~/.ssh/revoked\n")
    pinned = f"{keys['ed'].get_name()} {keys['ed'].get_base64()}" if pin else None
    with serving(Server([keys["ed"]])) as server:
        know(home, line("127.0.0.1", keys["ed"]))
        (home / ".ssh/revoked").write_text(line("", keys["other"]).strip())
        assert outcome(home, server, host_key=pinned) == ""
        (home / ".ssh/revoked").write_text(line("", keys["ed"]).strip())
        assert outcome(home, server, host_key=pinned) == "host-key-revoked"
        (home / ".ssh/revoked").unlink()  # as ssh: then nobody is let in
        assert outcome(home, server, host_key=pinned) == "revoked-keys"


def test_an_rsa_key_shorter_than_required_is_refused(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    with serving(Server([keys["rsa"]])) as server:
        know(home, line("127.0.0.1", keys["rsa"]))
        configure(home, "RequiredRSASize 2048\n")
        assert outcome(home, server) == ""
        configure(home, "RequiredRSASize 3072\n")
        assert outcome(home, server) == "host-key-short"


# --- algorithms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("security", "named", "option"),
    [
        ({"digests": ("hmac-md5",), "ciphers": ("aes128-ctr",)}, "hmac-md5", "MACs +hmac-md5"),
        ({"digests": ("hmac-sha1",), "ciphers": ("aes128-ctr",)}, "hmac-sha1", "MACs +hmac-sha1"),
        ({"ciphers": ("3des-cbc",)}, "3des-cbc", "Ciphers +3des-cbc"),
        ({"ciphers": ("aes128-cbc",)}, "aes128-cbc", "Ciphers +aes128-cbc"),
    ],
)
def test_weak_algorithms_are_used_only_if_ssh_config_names_them(
    home: Path,
    keys: dict[str, paramiko.PKey],
    security: dict[str, tuple[str, ...]],
    named: str,
    option: str,
) -> None:
    with serving(Server([keys["ed"]], security)) as server:
        know(home, line("127.0.0.1", keys["ed"]))
        error = failure(home, server)
        assert error.code == "ssh-algorithms"
        assert f"the host offers {named}" in error.what
        assert option in error.hint
        configure(home, f"Host 127.0.0.1\n  {option}\n")
        assert outcome(home, server) == ""


@pytest.mark.parametrize(
    ("option", "own"),
    [
        ("KexAlgorithms", "diffie-hellman-group14-sha256"),
        ("KexAlgorithms", "curve25519-sha256"),
        ("Ciphers", "aes256-gcm@openssh.com"),
        ("MACs", "hmac-sha2-512-etm@openssh.com"),
        ("HostKeyAlgorithms", "rsa-sha2-256"),
        ("HostKeyAlgorithms", "-ssh-ed25519"),
        ("HostKeyAlgorithms", "^rsa-sha2-512"),
    ],
)
def test_the_algorithms_of_ssh_config_are_used(
    home: Path, keys: dict[str, paramiko.PKey], option: str, own: str
) -> None:
    configure(home, f"{option} {own}\n")
    with serving(Server([keys["ed"], keys["rsa"]])) as server, Network(home) as network:
        know(home, line("127.0.0.1", keys["ed"]), line("127.0.0.1", keys["rsa"]))
        connection = network.connect(Endpoint("web1", "127.0.0.1", port=server.port))
        security = connection.transport.get_security_options()
        host_key = str(connection.transport.host_key_type)
        connection.close()
        wanted = own.lstrip("^")
        lists = {
            "KexAlgorithms": security.kex,
            "Ciphers": security.ciphers,
            "MACs": security.digests,
            "HostKeyAlgorithms": security.key_types,
        }
        if own.startswith("-"):
            assert own[1:] not in lists[option]
            assert host_key.startswith("rsa")
        else:
            assert lists[option][0].startswith(wanted)
            assert option != "HostKeyAlgorithms" or host_key == wanted


def test_an_ssh_config_that_leaves_no_algorithm_is_reported(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    configure(home, "Ciphers chacha20-poly1305@openssh.com\n")
    with serving(Server([keys["ed"]])) as server:
        with pytest.raises(ShipitError, match="Ciphers chacha20-poly1305") as caught:
            Network(home).connect(Endpoint("web1", "127.0.0.1", port=server.port))
        assert "aes256-gcm@openssh.com" in str(caught.value)


# --- who we are, and what is not followed ------------------------------------------------------


def certify(home: Path) -> Path:
    """Sign the user's key by an authority made for it; return the certificate, moved elsewhere."""
    authority = home / "authority"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(authority)]
    subprocess.run(make, check=True)
    public = home / ".ssh/id_ed25519.pub"
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", "root", str(public)]
    subprocess.run(sign, check=True)
    return (home / ".ssh/id_ed25519-cert.pub").rename(home / "certificate.pub")


@pytest.mark.parametrize("kind", [["ed25519"], ["rsa"], ["ecdsa", "-b", "384"]])
def test_a_certificate_is_matched_with_its_key(tmp_path: Path, kind: list[str]) -> None:
    for name in ("key", "authority"):
        make = ["ssh-keygen", "-q", "-N", "", "-f", str(tmp_path / name), "-t", *kind]
        subprocess.run(make, check=True)
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "authority"), "-I", "me"]
    subprocess.run([*sign, str(tmp_path / "key.pub")], check=True)
    key = paramiko.PKey.from_path(tmp_path / "key")
    assert certified_key(tmp_path / "key-cert.pub") == key.asbytes()
    assert certified_key(tmp_path / "key.pub") is None
    assert certified_key(tmp_path / "none") is None


def test_the_certificate_of_ssh_config_is_offered_with_its_key(
    home: Path, keys: dict[str, paramiko.PKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[str] = []
    real = paramiko.Transport.auth_publickey

    def auth(self: paramiko.Transport, username: str, key: paramiko.PKey) -> list[str]:
        offered.append(key.public_blob.key_type if key.public_blob else key.get_name())
        return real(self, username, key)

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", auth)
    certificate = certify(home)
    with serving(Server([keys["ed"]])) as server:
        know(home, line("127.0.0.1", keys["ed"]))
        outcome(home, server)
        configure(home, f"CertificateFile {certificate}\n")
        outcome(home, server)
    assert offered == ["ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"]


def test_no_password_is_offered_if_ssh_config_forbids_it(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    (home / ".ssh/id_ed25519").unlink()
    configure(home, "PasswordAuthentication no\n")
    with serving(Server([keys["ed"]])) as server:
        know(home, line("127.0.0.1", keys["ed"]))
        assert outcome(home, server, password=Secret("sentinel")) == "login-refused"
        assert server.offered == []


def test_options_that_are_not_followed_are_reported_once(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    text = "StrictHostKeyChecking no\nBindAddress 10.0.0.1\nRevokedHostKey x\nLogLevel DEBUG\n"
    configure(home, text + "IdentityAgent SSH_AUTH_SOCK\nForwardAgent yes\n")
    reported: list[str] = []
    with serving(Server([keys["ed"]])) as server, Network(home, note=reported.append) as network:
        know(home, line("127.0.0.1", keys["ed"]))
        for name in ("web1", "web2"):
            network.connect(Endpoint(name, "127.0.0.1", port=server.port)).close()
    assert [text.split(" is not")[0] for text in reported] == [
        "ssh_config: stricthostkeychecking no",
        "ssh_config: bindaddress 10.0.0.1",
        "ssh_config: revokedhostkey x",
    ]


def test_an_option_is_either_followed_or_without_meaning() -> None:
    assert not FOLLOWED & WITHOUT_MEANING


def test_the_page_of_docs_lists_every_option() -> None:
    page = (TOP / "docs/inventory.md").read_text().lower()
    words = set(re.findall(r"\w+", page))
    assert {*FOLLOWED, *WITHOUT_MEANING} - {"pubkeyacceptedkeytypes"} <= words


def test_a_jump_host_of_ssh_config_cannot_be_read_as_an_option(
    home: Path, keys: dict[str, paramiko.PKey]
) -> None:
    configure(home, "Host 127.0.0.1\n  ProxyJump -oProxyCommand=id\n")
    with serving(Server([keys["ed"]])) as server:
        assert outcome(home, server) == "jump-failed"
