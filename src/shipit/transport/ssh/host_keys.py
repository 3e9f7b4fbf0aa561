"""Check a host's key against known_hosts, as OpenSSH does.

A key is accepted only if it is known for this host; a revoked key never is. Errors name file and
line. Supports hashed names, `[host]:port`, wildcards and negations as in sshd(8). Host certificates
(@cert-authority) are not supported: such lines accept nothing here. Writes no file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import paramiko

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_SSH_PORT = 22
_MARKERS = ("@revoked", "@cert-authority")
_FIELDS = 3  # hosts, type, key
_KRL = b"SSHKRL\n\0"


@dataclass(frozen=True)
class HostKey:
    """A public key in wire format."""

    kind: str  # ssh-ed25519, ssh-rsa, ...
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    @property
    def base64(self) -> str:
        """As in a .pub file."""
        return base64.b64encode(self.blob).decode()

    @property
    def rsa_bits(self) -> int | None:
        """The length of an RSA key's modulus; None for another type."""
        if self.kind != "ssh-rsa":
            return None
        return paramiko.RSAKey(data=self.blob).get_bits()

    @classmethod
    def parse(cls, text: str) -> HostKey:
        """Parse `type base64`; raise ValueError for anything else."""
        kind, _, rest = text.partition(" ")
        try:
            return cls(kind, base64.b64decode(rest.split()[0], validate=True))
        except (binascii.Error, IndexError) as error:
            raise ValueError(text) from error


@dataclass(frozen=True)
class KnownKey:
    """A line of known_hosts."""

    hosts: str
    key: HostKey
    place: Place
    marker: str = ""  # one of _MARKERS

    def is_for(self, name: str) -> bool:
        """Whether the line is about `host` or `[host]:port`."""
        if self.hosts.startswith("|1|"):
            return _is_hash_of(self.hosts, name)
        patterns = self.hosts.lower().split(",")
        if any(p.startswith("!") and _is_like(name, p[1:]) for p in patterns):
            return False
        return any(_is_like(name, p) for p in patterns)


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _is_like(name: str, pattern: str) -> bool:
    # In known_hosts the brackets of [host]:port are literal; only * and ? are wildcards.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


class Verdict(Enum):
    """The result of checking a key that a host offers."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class KeyCheck:
    """A verdict and its lines of known_hosts: for CHANGED, those with the other keys."""

    verdict: Verdict
    lines: tuple[KnownKey, ...] = ()
    has_authority: bool = False  # a @cert-authority line covers this host


def parse(text: str, file: str) -> Iterator[KnownKey]:
    """Yield the keys of a known_hosts file; invalid lines are skipped, as in ssh."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0] in _MARKERS else ""
        if len(words) < _FIELDS or words[0].startswith(("#", "@")):
            continue
        try:
            key = HostKey.parse(f"{words[1]} {words[2]}")
        except ValueError:
            continue
        yield KnownKey(words[0], key, Place(file, number), marker)


def read(files: Iterable[Path]) -> tuple[KnownKey, ...]:
    """Read known_hosts files; missing ones are empty.

    Raises:
        InputError: known-hosts-unreadable.
    """
    keys: list[KnownKey] = []
    for file in files:
        try:
            keys += parse(file.read_text(encoding="utf-8", errors="replace"), str(file))
        except FileNotFoundError:
            continue
        except OSError as error:
            what = f"the file cannot be read: {error.strerror}"
            hint = f"make it readable, for example: chmod u+r {file}"
            raise InputError(
                Mistake("known-hosts-unreadable", what, Place(str(file)), hint)
            ) from error
    return tuple(keys)


def name_of(host: str, port: int) -> str:
    """Return a host's name as known_hosts writes it."""
    return host.lower() if port == _SSH_PORT else f"[{host.lower()}]:{port}"


def check(known: Sequence[KnownKey], host: str, port: int, key: HostKey) -> KeyCheck:
    """Check the key that `host` offers at `port`, as ssh does.

    A line for `[host]:port` decides. If there is none, a line for the bare host with this key is
    accepted as well.
    """
    name, bare = name_of(host, port), host.lower()
    checked = _check_name(known, name, key)
    if name == bare or checked.verdict is Verdict.REVOKED:
        return checked
    without_port = _check_name(known, bare, key)
    if without_port.verdict is Verdict.REVOKED:
        return without_port
    is_new = checked.verdict is Verdict.UNKNOWN
    return without_port if is_new and without_port.verdict is Verdict.TRUSTED else checked


def _check_name(known: Sequence[KnownKey], name: str, key: HostKey) -> KeyCheck:
    about = [line for line in known if line.is_for(name)]
    same = [line for line in about if line.key.blob == key.blob]
    revoked = tuple(line for line in same if line.marker == "@revoked")
    if revoked:
        return KeyCheck(Verdict.REVOKED, revoked)
    if any(not line.marker for line in same):
        return KeyCheck(Verdict.TRUSTED)
    plain = tuple(line for line in about if not line.marker)
    if plain:
        return KeyCheck(Verdict.CHANGED, plain)
    has_authority = any(line.marker == "@cert-authority" for line in about)
    return KeyCheck(Verdict.UNKNOWN, has_authority=has_authority)


def kinds(known: Sequence[KnownKey], host: str, port: int) -> tuple[str, ...]:
    """Return the types of the keys known for a host, to request these first.

    Otherwise a host that prefers RSA, and whose ed25519 key is known, would seem to have changed.
    """
    for name in (name_of(host, port), host.lower()):
        found = (line.key.kind for line in known if not line.marker and line.is_for(name))
        if types := tuple(dict.fromkeys(found)):
            return types
    return ()


def read_revoked(file: Path) -> dict[bytes, Place]:
    """Read the public keys of RevokedHostKeys, one per line; return them with their places.

    Raises:
        InputError: revoked-keys, for a file that is missing or has other content. As in ssh, no
            host is accepted then.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _bad_revoked(Place(str(file)), f"cannot be read: {error.strerror}") from error
    if content.startswith(_KRL):
        raise _bad_revoked(Place(str(file)), "is a binary KRL, which shipit does not read")
    revoked = {}
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = Place(str(file), number)
        try:
            revoked[HostKey.parse(" ".join(words[:2])).blob] = place
        except ValueError as error:
            raise _bad_revoked(place, "has a line that is no public key") from error
    return revoked


def _bad_revoked(place: Place, what: str) -> InputError:
    hint = "make it a text with one public key a line: ssh-ed25519 AAAA..."
    return InputError(Mistake("revoked-keys", f"the file of RevokedHostKeys {what}", place, hint))
