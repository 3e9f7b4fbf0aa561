from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path

import pytest

from shipit.errors import InputError
from shipit.transport.ssh.host_keys import (
    HostKey,
    Verdict,
    check,
    kinds,
    name_of,
    parse,
    read,
    read_revoked,
)


def key(text: str, kind: str = "ssh-ed25519") -> HostKey:
    head = len(kind).to_bytes(4, "big") + kind.encode()
    return HostKey(kind, head + text.encode())


def line(hosts: str, of: HostKey) -> str:
    return f"{hosts} {of.kind} {base64.b64encode(of.blob).decode()}"


def verdict(text: str, offered: HostKey, host: str = "web1", port: int = 22) -> Verdict:
    return check(tuple(parse(text, "known_hosts")), host, port, offered).verdict


def hashed(name: str) -> str:
    salt = b"s" * 20
    digest = hmac.digest(salt, name.encode(), hashlib.sha1)
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


A, B, RSA = key("a"), key("b"), key("r", "ssh-rsa")


@pytest.mark.parametrize(
    ("hosts", "host", "port"),
    [
        ("web1", "web1", 22),
        ("WEB1", "Web1", 22),
        ("other,web1,10.0.0.1", "10.0.0.1", 22),
        ("web?", "web1", 22),
        ("*.example.com", "a.example.com", 22),
        ("[web1]:2222", "web1", 2222),
        ("[*]:2222", "web1", 2222),
        ("web1", "web1", 2222),  # as ssh: found without the port
        (hashed("web1"), "web1", 22),
        (hashed("[web1]:2222"), "web1", 2222),
        ("::1", "::1", 22),
    ],
)
def test_a_key_known_for_the_host_is_trusted(hosts: str, host: str, port: int) -> None:
    assert verdict(line(hosts, A), A, host, port) is Verdict.TRUSTED


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "web1", 22),
        (line("web2", A), "web1", 22),
        (line("[web1]:2222", A), "web1", 22),
        (line("*,!web1", A), "web1", 22),
        (line(hashed("web2"), A), "web1", 22),
        (line("web1", B), "web1", 2222),  # another key without the port means nothing
        ("# " + line("web1", A), "web1", 22),
        ("@cert-authority " + line("web1", A), "web1", 22),
        ("web1 ssh-ed25519 not-base64!", "web1", 22),
        ("|1|broken " + line("web1", A), "web1", 22),
    ],
)
def test_any_other_key_is_unknown(text: str, host: str, port: int) -> None:
    assert verdict(text, A, host, port) is Verdict.UNKNOWN


def test_a_changed_key_is_reported_with_the_known_lines() -> None:
    text = "\n".join(["# mine", line("web1", B), line("web1", RSA)])
    checked = check(tuple(parse(text, "/known")), "web1", 22, A)
    assert checked.verdict is Verdict.CHANGED
    assert [str(x.place) for x in checked.lines] == ["/known:2", "/known:3"]


def test_any_of_several_known_keys_is_accepted() -> None:
    text = "\n".join([line("web1", B), line("web1", A)])
    assert verdict(text, A) is Verdict.TRUSTED


def test_a_revoked_key_is_refused_even_if_another_line_has_it() -> None:
    text = "\n".join([line("web1", A), "@revoked " + line("*", A)])
    assert verdict(text, A) is Verdict.REVOKED
    assert verdict(text, B) is Verdict.CHANGED


def test_a_certificate_authority_is_mentioned() -> None:
    known = tuple(parse("@cert-authority " + line("*.example.com", A), "f"))
    assert check(known, "a.example.com", 22, B).has_authority
    assert not check(known, "b.example.org", 22, B).has_authority


def test_the_requested_types_are_those_of_known_keys() -> None:
    text = "\n".join([line("web1", RSA), line("web1", A), line("other", key("x", "ecdsa"))])
    assert kinds(tuple(parse(text, "f")), "web1", 22) == ("ssh-rsa", "ssh-ed25519")


def test_fingerprints_and_hashed_names_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    private, known = tmp_path / "key", tmp_path / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    public = Path(f"{private}.pub").read_text()
    listed = subprocess.run(
        ["ssh-keygen", "-lf", private], check=True, capture_output=True, text=True
    ).stdout
    real = HostKey.parse(public)
    assert real.fingerprint == listed.split()[1]
    known.write_text(f"[10.0.0.1]:2222,web1 {public}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "web1" not in known.read_text()
    lines = read([known, tmp_path / "missing"])
    assert check(lines, "web1", 22, real).verdict is Verdict.TRUSTED
    assert check(lines, "10.0.0.1", 2222, real).verdict is Verdict.TRUSTED


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known-hosts-unreadable") as caught:
        read([tmp_path])
    assert str(tmp_path) in str(caught.value)


def test_names_have_the_format_of_known_hosts() -> None:
    assert name_of("Web1", 22) == "web1"
    assert name_of("Web1", 2222) == "[web1]:2222"


def test_a_line_with_the_port_decides_against_one_without_it() -> None:
    text = "\n".join([line("[web1]:2222", B), line("web1", A)])
    assert verdict(text, A, port=2222) is Verdict.CHANGED
    assert verdict(text, B, port=2222) is Verdict.TRUSTED
    assert verdict(text, A) is Verdict.TRUSTED


def test_a_key_revoked_for_the_bare_host_is_revoked_at_every_port() -> None:
    text = "\n".join([line("[web1]:2222", A), "@revoked " + line("web1", A)])
    assert verdict(text, A, port=2222) is Verdict.REVOKED


def test_the_types_known_for_the_port_come_before_those_of_the_bare_host() -> None:
    text = "\n".join([line("web1", RSA), line("[web1]:2222", A)])
    assert kinds(tuple(parse(text, "f")), "web1", 2222) == ("ssh-ed25519",)
    assert kinds(tuple(parse(text, "f")), "web1", 2223) == ("ssh-rsa",)


def test_the_length_of_an_rsa_key_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    private = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(private)]
    subprocess.run(command, check=True)
    assert HostKey.parse(Path(f"{private}.pub").read_text()).rsa_bits == 2048
    assert A.rsa_bits is None


def test_revoked_keys_are_read_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "revoked"
    text = "\n".join(["# lost in May", "", line("", A).strip(), line("", RSA).strip() + " a@b"])
    file.write_text(text + "\n")
    places = {blob: str(place) for blob, place in read_revoked(file).items()}
    assert places == {A.blob: f"{file}:3", RSA.blob: f"{file}:4"}


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (None, "cannot be read: No such file"),
        (b"SSHKRL\n\0\0\0\0\1", "binary KRL"),
        (b"sha256: abc", "no public key"),
    ],
)
def test_with_an_unreadable_file_of_revoked_keys_no_host_is_accepted(
    tmp_path: Path, content: bytes | None, reported: str
) -> None:
    file = tmp_path / "revoked"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=reported):
        read_revoked(file)
