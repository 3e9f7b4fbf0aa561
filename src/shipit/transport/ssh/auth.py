"""Authenticate both sides of an ssh connection: the host by its key, and us by ours.

An unknown, changed or revoked host key ends the connection before a key or password of ours is
offered; the error has the fingerprints and the command that fixes it. A refused login lists every
key that was tried with its result. There are no prompts: an encrypted key must be in the ssh agent.
"""

from __future__ import annotations

import base64
import contextlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.auth_strategy import (
    AuthFailure,
    AuthResult,
    AuthSource,
    AuthStrategy,
    InMemoryPrivateKey,
    Password,
    SourceResult,
)

from shipit.transport.ssh.host_keys import HostKey, KnownKey, Verdict, check, kinds

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from shipit.errors import Place, Unreachable
    from shipit.transport.endpoint import Endpoint

# Seconds for each answer during a login: PAM and name services may take 20 and more.
AUTH_TIMEOUT = 60.0
# Seconds from there to a session: PAM's own modules wait 25 for logind. It must end before the
# Keepalive takes the silence for a dead peer.
SESSION_TIMEOUT = 40.0
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_CERTIFICATE = "-cert-v01@openssh.com"
_FIELDS_OF_A_KEY = {  # a certificate's type -> how many strings make its public key
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
}
_RSA = ("rsa-sha2-512", "rsa-sha2-256")  # the signatures that an ssh-rsa key makes today


@dataclass(frozen=True)
class HostKeyPolicy:
    """Which host keys are accepted: the pinned key, or else those of known_hosts.

    Attributes:
        host: HostKeyAlias, or the host as known_hosts writes it.
        port: 22 for a HostKeyAlias, which has no port there.
        revoked: RevokedHostKeys: keys that are never accepted, with their places.
        rsa_bits: RequiredRSASize: the minimum size of an RSA key.
    """

    endpoint: Endpoint
    host: str
    port: int
    known: Sequence[KnownKey]
    revoked: Mapping[bytes, Place] = field(default_factory=dict)
    rsa_bits: int = 0
    is_alias: bool = False  # `host` is a HostKeyAlias, which ssh-keyscan can't reach

    def preferred(self, supported: Sequence[str]) -> tuple[str, ...]:
        """Return the signature algorithms to request, those of known keys first."""
        pinned = self.endpoint.host_key
        types = [pinned.split()[0]] if pinned else kinds(self.known, self.host, self.port)
        first = [a for kind in types for a in (_RSA if kind == "ssh-rsa" else (kind,))]
        chosen = [algorithm for algorithm in first if algorithm in supported]
        return (*chosen, *(a for a in supported if a not in chosen))

    def check(self, key: HostKey) -> None:
        """Check the key that the host has proven to own.

        Raises:
            Unreachable: host-key-unknown, host-key-changed, host-key-revoked.
        """
        pinned = self.endpoint.host_key
        checked = None if pinned else check(self.known, self.host, self.port, key)
        revoked = self.revoked.get(key.blob)
        if checked and checked.verdict is Verdict.REVOKED:
            revoked = revoked or checked.lines[0].place
        if revoked:
            what = f"the host's key {key.fingerprint} is revoked by {revoked}"
            raise self.endpoint.unreachable("host-key-revoked", what, "give the host a new key")
        bits = key.rsa_bits
        if bits is not None and bits < self.rsa_bits:
            what = f"the host's RSA key has {bits} bits; RequiredRSASize asks for {self.rsa_bits}"
            hint = "give the host a longer key, or an ed25519"
            raise self.endpoint.unreachable("host-key-short", what, hint)
        if pinned and (expected := HostKey.parse(pinned)).blob != key.blob:
            raise self._changed(key, [f"pinned by shipit_host_key: {expected.fingerprint}"])
        if checked and checked.verdict is Verdict.CHANGED:
            known = [f"{line.place}: {line.key.fingerprint}" for line in checked.lines]
            raise self._changed(key, known)
        if checked and checked.verdict is Verdict.UNKNOWN:
            raise self._unknown(key, has_authority=checked.has_authority)

    def _unknown(self, key: HostKey, *, has_authority: bool) -> Unreachable:
        port = "" if self.port == 22 else f"-p {self.port} "  # noqa: PLR2004 - ssh's own
        add = f"ssh-keyscan {port}{shlex.quote(self.host)} >> ~/.ssh/known_hosts"
        if self.is_alias:
            add = f"add the line `{self.host} {key.kind} {key.base64}` to ~/.ssh/known_hosts"
        accept = (
            "compare it with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), then: "
            f"{add}; or set shipit_host_key in the inventory"
        )
        also = "; a @cert-authority line covers it, which shipit can't use" * has_authority
        what = f"the host's key is not known: {key.kind} {key.fingerprint}{also}"
        return self.endpoint.unreachable("host-key-unknown", what, accept)

    def _changed(self, key: HostKey, others: list[str]) -> Unreachable:
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"  # noqa: PLR2004
        forget = f"ssh-keygen -R {shlex.quote(name)}"
        if self.endpoint.host_key:
            forget = "change shipit_host_key in the inventory"
        what = (
            f"the host key has changed: the host offers {key.kind} {key.fingerprint};"
            f" expected {', '.join(others)}"
        )
        hint = f"this may be an attack. If the host was really reinstalled: {forget}"
        return self.endpoint.unreachable("host-key-changed", what, hint)


class KnownHostsOnly(paramiko.MissingHostKeyPolicy):
    """Checks every key by the policy: paramiko itself knows none here, so it asks for each."""

    def __init__(self, policy: HostKeyPolicy) -> None:
        self._policy = policy

    def missing_host_key(self, client: object, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002 - paramiko's signature
        self._policy.check(HostKey(key.get_name(), key.asbytes()))


class KeyFile(AuthSource):
    """A private key in a file, loaded when it is tried, with its certificate if there is one."""

    def __init__(self, username: str, path: Path, certificates: Sequence[Path] = ()) -> None:
        super().__init__(username)
        self.path, self.certificates = path, certificates

    def authenticate(self, transport: paramiko.Transport) -> list[str]:
        key = paramiko.PKey.from_path(str(self.path))  # it finds PATH-cert.pub itself
        _load_certificate(key, self.certificates)
        return transport.auth_publickey(self.username, key)


def _load_certificate(key: paramiko.PKey, certificates: Sequence[Path]) -> None:
    """Load the certificate of a key; as in ssh, missing files are skipped."""
    for certificate in certificates:
        if certified_key(certificate) == key.asbytes():
            key.load_certificate(str(certificate))


def certified_key(certificate: Path) -> bytes | None:
    """Return the key that a certificate file certifies, in wire format; None if there is none."""
    try:
        words = certificate.read_bytes().split()
        message = paramiko.Message(base64.b64decode(words[1], validate=True))
        kind = message.get_text()
        message.get_string()  # the nonce
        rest = _FIELDS_OF_A_KEY.get(kind.removesuffix(_CERTIFICATE))
    except (OSError, IndexError, ValueError):
        return None
    if rest is None or not kind.endswith(_CERTIFICATE):
        return None
    key = paramiko.Message()
    key.add_string(kind.removesuffix(_CERTIFICATE))
    for _ in range(rest):
        key.add_string(message.get_string())
    return key.asbytes()


@dataclass(frozen=True)
class Keys:
    """The keys and certificates to try."""

    user: str
    named: tuple[Path, ...]  # by the inventory
    configured: tuple[Path, ...]  # by ~/.ssh/config
    default: tuple[Path, ...]
    only_these: bool  # IdentitiesOnly: of the agent's keys, those whose .pub is among the files
    certificates: tuple[Path, ...] = ()  # CertificateFile


class Login(AuthStrategy):
    """Tries the named keys, the ssh agent's, the configured and default ones, and the password."""

    def __init__(self, endpoint: Endpoint, keys: Keys) -> None:
        super().__init__(ssh_config=paramiko.SSHConfig())
        self._endpoint, self._keys = endpoint, keys

    def authenticate(self, transport: paramiko.Transport) -> AuthResult:
        """Log in.

        Raises:
            Unreachable: login-refused, login-timeout, login-closed.
        """
        transport.auth_timeout = max(AUTH_TIMEOUT, self._endpoint.connect_timeout)
        with contextlib.closing(self.get_sources()) as sources:
            result = AuthResult(strategy=self)
            for source in sources:
                if not transport.is_active():  # the server has closed the connection
                    break
                try:
                    result.append(SourceResult(source, source.authenticate(transport)))
                except (paramiko.SSHException, OSError, ValueError, TypeError) as error:
                    # TypeError: the library's error for an encrypted key
                    result.append(SourceResult(source, error))
                if transport.is_authenticated() or _is_timeout(result[-1].result):
                    break
        if not transport.is_authenticated():
            raise self._failure(transport, result)
        return result

    def get_sources(self) -> Generator[AuthSource, None, None]:
        """Yield what to try, in order."""
        keys = self._keys
        for path in keys.named:
            yield KeyFile(keys.user, path, keys.certificates)
        files = (*keys.named, *keys.configured)
        wanted = {blob for path in files if (blob := _public_blob(path))}
        with contextlib.closing(paramiko.Agent()) as agent:
            for key in agent.get_keys():
                if not keys.only_these or key.asbytes() in wanted:
                    _load_certificate(key, keys.certificates)
                    yield InMemoryPrivateKey(keys.user, key)
        for path in (*keys.configured, *(() if keys.only_these else keys.default)):
            if path.is_file() and path not in keys.named:
                yield KeyFile(keys.user, path, keys.certificates)
        password = self._endpoint.password
        if password is not None:
            yield Password(keys.user, password.reveal)

    def _failure(self, transport: paramiko.Transport, result: AuthResult) -> Unreachable:
        """Return why the login failed: a timeout, a closed login, or refused keys."""
        if result and _is_timeout(result[-1].result):
            what = (
                f"no answer to the login of {self._keys.user} within {transport.auth_timeout:g} s"
            )
            hint = (
                "PAM or a name service there may wait for something: see its journal (ssh, logind)"
            )
            return self._endpoint.unreachable("login-timeout", what, hint)
        # paramiko's own getter loses the banner when the connection ends.
        raw = getattr(transport.auth_handler, "banner", None) or b""
        banner = raw.decode(errors="replace").strip()
        if banner and not transport.is_active():
            what = f"the host closed the login of {self._keys.user} with the message: {banner}"
            hint = (
                "while it boots or shuts down, or while /run/nologin or /etc/nologin exists, only"
                " root may log in: try again later, or read that file"
            )
            return self._endpoint.unreachable("login-closed", what, hint)
        return self._refusal(result)

    def _refusal(self, result: AuthResult) -> Unreachable:
        tried = "; ".join(f"{_name_of(each.source)}: {_describe(each.result)}" for each in result)
        key = self._endpoint.key_files or ("~/.ssh/id_ed25519",)
        login = f"{self._keys.user}@{self._endpoint.address}"
        return self._endpoint.unreachable(
            "login-refused",
            f"the host refused to log in {self._keys.user}; tried {tried or 'nothing: no keys'}",
            f"put a key on the host: ssh-copy-id -i {shlex.quote(key[0])} {login}; "
            "or set ansible_user, ansible_ssh_private_key_file",
        )


def _is_timeout(result: object) -> bool:
    return isinstance(result, paramiko.AuthenticationException) and "timeout" in str(result)


def _public_blob(path: Path) -> bytes | None:
    try:
        return HostKey.parse(Path(f"{path}.pub").read_text(encoding="utf-8").strip()).blob
    except (OSError, ValueError):
        return None


def _name_of(source: AuthSource) -> str:
    if isinstance(source, KeyFile):
        return f"key {source.path}"
    if isinstance(source, InMemoryPrivateKey):
        return f"the agent's key {source.pkey.fingerprint}"
    return "password"


def _describe(result: Any) -> str:  # noqa: ANN401 - paramiko: a list of methods, or an exception
    match result:
        case FileNotFoundError():
            return "no such file"
        case paramiko.BadAuthenticationType(allowed_types=allowed):
            return f"not accepted by the host, which takes {', '.join(allowed)}"
        case paramiko.PasswordRequiredException() | TypeError():
            return "encrypted; add it to the agent with ssh-add"
        case paramiko.AuthenticationException():
            return "refused"
        case AuthFailure() | Exception():
            return f"unusable: {result}"
        case _:
            return f"accepted, but the host also asks for {', '.join(result)}"
