"""Connect to hosts by ssh, also through jump hosts.

Every wait has a timeout. A dead peer is detected within `Limits.interval` + `Limits.silence`
seconds, also behind a jump host. A jump host is connected once for all hosts behind it. `close`
leaves no thread or descriptor. Only this module imports fabric.
"""

from __future__ import annotations

import logging
import random
import re
import socket
import threading
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import fabric
import paramiko

from shipit.errors import InputError, Mistake, Place, Unreachable
from shipit.transport.endpoint import Endpoint, is_safe_address, is_safe_user
from shipit.transport.keepalive import Keepalive, RecordingPacketizer
from shipit.transport.ssh import config, host_keys
from shipit.transport.ssh.auth import DEFAULT_KEYS, HostKeyPolicy, Keys, KnownHostsOnly, Login
from shipit.transport.ssh.errors import DroppedError, refusal
from shipit.transport.ssh.negotiation import Negotiator
from shipit.transport.ssh.proxy_command import ProxyCommand, tokens_of
from shipit.transport.ssh.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_ETC = Path("/etc/ssh")
_HOP = re.compile(r"(?:([^@]+)@)?(?:\[([^]]+)\]|([^:\[\]]+))(?::(\d+))?")


@dataclass(frozen=True)
class Limits:
    """Limits of connections: how many, how often, how long."""

    at_once: int = 30  # handshakes
    behind_a_jump: int = 8  # handshakes; sshd drops some from 10 on (MaxStartups)
    tries: int = 3  # handshakes, if the host drops one
    interval: float = 15.0  # seconds between keepalive requests
    silence: float = 30.0  # seconds without a packet after a request: the peer is dead


class Network:
    """What the connections of one run share. Every method may be called from any thread."""

    def __init__(
        self,
        home: Path | None = None,
        limits: Limits | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Args: note: takes sentences that an operator should read; from any thread."""
        self.limits = limits or Limits()
        self._note, self._noted = note, set[str]()
        self._home = home or Path.home()
        self._ssh = self._home / ".ssh"
        self.default_keys = tuple(self._ssh / name for name in DEFAULT_KEYS)
        self._at_once = threading.BoundedSemaphore(self.limits.at_once)
        self._jumps: dict[tuple[object, ...], _Jump] = {}
        self._known: dict[tuple[Path, ...], tuple[host_keys.KnownKey, ...]] = {}
        self._lock = threading.Lock()
        # It would print tracebacks of lost connections to the terminal; we report them ourselves.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to jump hosts; those through them end with them."""
        with self._lock:
            jumps = list(self._jumps.values())
        for jump in reversed(jumps):
            jump.close()

    @cached_property
    def config(self) -> paramiko.SSHConfig:
        """The user's ssh_config and the system's."""
        texts = [config.text_of(f) for f in (self._ssh / "config", _ETC / "ssh_config")]
        try:
            return paramiko.SSHConfig.from_text("\nHost *\n".join(texts))
        except paramiko.ConfigParseError as error:
            place = Place(str(self._ssh / "config"))
            raise InputError(Mistake("ssh-config", f"not understood: {error}", place)) from error

    def lookup(self, address: str) -> dict[str, Any]:
        with self._lock:  # paramiko's lookup may not be thread-safe
            return dict(self.config.lookup(address))

    def settings(self, endpoint: Endpoint, found: fabric.Connection) -> Settings:
        """Return the settings of ssh_config for a host, after fabric found name, port and user."""
        values = self.lookup(endpoint.address)
        own = {
            "%n": endpoint.address,
            "%d": str(self._home),
            "%k": str(values.get("hostkeyalias") or endpoint.address),
        }
        return Settings(values, {**tokens_of(found.host, found.port, found.user), **own})

    def known_keys(self, settings: Settings) -> tuple[host_keys.KnownKey, ...]:
        """Return the keys from the known_hosts files that ssh would read for this host."""
        files = settings.known_hosts(
            [str(self._ssh / name) for name in ("known_hosts", "known_hosts2")],
            [str(_ETC / name) for name in ("ssh_known_hosts", "ssh_known_hosts2")],
        )
        with self._lock:
            if files not in self._known:
                self._known[files] = host_keys.read(files)
            return self._known[files]

    def note_unfollowed(self, settings: Settings) -> None:
        """Note once per run the options of ssh_config that shipit does not follow."""
        for option, value in config.unfollowed(settings.values):
            text = f"ssh_config: {option} {value} is not followed; see docs/inventory.md"
            with self._lock:
                is_new = text not in self._noted
                self._noted.add(text)
            if is_new:
                self._note(text)

    def connect(self, endpoint: Endpoint) -> Connection:
        """Open a connection; waits while too many are being opened.

        Raises:
            Unreachable: with the codes of `errors` and `auth`.
            InputError: ~/.ssh/config or known_hosts cannot be read.
        """
        for attempt in range(1, self.limits.tries + 1):
            try:
                return self._connect(endpoint)
            except DroppedError as error:
                if attempt == self.limits.tries:
                    raise endpoint.unreachable("ssh-failed", str(error)) from error
                # Jitter, so that hosts that were dropped together don't retry together.
                time.sleep(random.uniform(0.1, 0.5) * 2**attempt)  # noqa: S311 - no secret
        raise AssertionError(self.limits.tries)

    def _connect(self, endpoint: Endpoint) -> Connection:
        settings = self.lookup(endpoint.address)
        route = self._route(endpoint, settings)
        slots = route.slots if isinstance(route, _Jump) else self._at_once
        if isinstance(route, _Jump):
            route.reach(endpoint)
        with slots:
            connection = Connection(endpoint, self)
            connection.open(route)
        return connection

    def _route(self, endpoint: Endpoint, settings: dict[str, Any]) -> _Route:
        """Return the jump host or proxy command; the inventory overrides ~/.ssh/config."""
        if endpoint.proxy_jump or endpoint.proxy_command:
            jump, command = endpoint.proxy_jump, endpoint.proxy_command
        else:
            jump, command = settings.get("proxyjump"), settings.get("proxycommand")
        if jump and jump.lower() != "none":
            return self._jump(endpoint, jump)
        return command if command and command.lower() != "none" else None

    def _jump(self, endpoint: Endpoint, hops: str) -> _Route:
        before, _, last = hops.rpartition(",")
        hop = _parse_hop(endpoint, last.strip(), before)
        if (hop.address, hop.port or 22) == (endpoint.address, endpoint.port or 22):
            return None  # a wildcard in ~/.ssh/config that matches the jump host itself, too
        key = (hop.address, hop.port, hop.user, before)
        with self._lock:
            return self._jumps.setdefault(key, _Jump(hop, self))


class Connection:
    """One authenticated ssh connection."""

    def __init__(self, endpoint: Endpoint, network: Network) -> None:
        self._endpoint, self._network = endpoint, network
        self._ssh = fabric.Connection(
            endpoint.address,
            user=endpoint.user,
            port=endpoint.port,
            config=fabric.Config(ssh_config=network.config, lazy=True),
            gateway=False,  # _Jump checks the jump host's key
            forward_agent=False,
            connect_timeout=max(1, round(endpoint.connect_timeout)),
        )
        self._settings = network.settings(endpoint, self._ssh)
        self._transports: list[Negotiator] = []
        self._proxy: ProxyCommand | None = None
        self._keepalive: Keepalive | None = None

    @property
    def transport(self) -> Negotiator:
        return self._transports[-1]

    def open(self, route: _Route) -> None:
        """Connect, check the host's key, log in, and start the keepalive."""
        endpoint = self._endpoint
        self._network.note_unfollowed(self._settings)
        policy = self._host_key_policy()
        self._ssh.client.set_missing_host_key_policy(KnownHostsOnly(policy))
        try:
            self._ssh.connect_kwargs = {
                "sock": self._socket(route),
                "transport_factory": partial(self._make_transport, policy),
                "auth_strategy": Login(self._allowed(), self._keys()),
                "banner_timeout": endpoint.connect_timeout,
                "auth_timeout": endpoint.connect_timeout,
                "channel_timeout": endpoint.connect_timeout,
            }
            self._ssh.open()
        except BaseException as error:
            self.close()
            if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
                if found := self.transport.mismatch():
                    raise endpoint.unreachable("ssh-algorithms", *found) from error
                raise endpoint.unreachable("ssh-failed", f"ssh failed: {error}") from error
            if isinstance(error, (OSError, EOFError, paramiko.SSHException)):
                raise refusal(endpoint, error) from error
            raise
        limits = self._network.limits
        self._keepalive = Keepalive(self.transport, limits.interval, limits.silence)

    def close(self) -> None:
        self._ssh.client.close()
        for transport in self._transports:
            transport.packetizer.complete_handshake()  # ends the timer of one that failed
            transport.close()
            transport.sock.close()
            if transport.ident is not None:
                transport.join(2.0)
        if self._proxy is not None:
            self._proxy.close()
        if self._keepalive is not None:
            self._keepalive.end()

    def _host_key_policy(self) -> HostKeyPolicy:
        settings = self._settings
        host, port = settings.known_as(self._ssh.host, self._ssh.port)
        return HostKeyPolicy(
            self._endpoint,
            host,
            port,
            known=self._network.known_keys(settings),
            revoked=settings.revoked(),
            rsa_bits=settings.rsa_bits(),
            is_alias=host != self._ssh.host,
        )

    def _allowed(self) -> Endpoint:
        """Return the endpoint without its password if ssh_config forbids passwords."""
        forbidden = self._settings.has_value("passwordauthentication", "no")
        return replace(self._endpoint, password=None) if forbidden else self._endpoint

    def _keys(self) -> Keys:
        return Keys(
            user=self._ssh.user,
            named=tuple(Path(f).expanduser() for f in self._endpoint.key_files),
            configured=self._settings.identities(),
            default=self._network.default_keys,
            only_these=self._settings.has_value("identitiesonly", "yes"),
            certificates=self._settings.certificates(),
        )

    def _socket(self, route: _Route) -> Any:  # noqa: ANN401 - a socket, or a channel like one
        timeout = self._endpoint.connect_timeout
        if isinstance(route, _Jump):
            return route.channel_to(self._ssh.host, self._ssh.port, timeout)
        if route is not None:
            self._proxy = ProxyCommand(route, dict(self._settings.tokens))
            return self._proxy.socket
        return None

    def _make_transport(self, policy: HostKeyPolicy, sock: Any, **options: Any) -> Negotiator:  # noqa: ANN401 - paramiko's
        if getattr(sock, "family", None) in (socket.AF_INET, socket.AF_INET6):
            _tune(sock, self._network.limits)
        transport = Negotiator(sock, packetizer_class=RecordingPacketizer, **options)
        transport.handshake_timeout = self._endpoint.connect_timeout
        self._transports.append(transport)
        transport.choose(self._settings.values, policy)
        return transport


class _Jump:
    """A jump host, connected once for all hosts behind it."""

    def __init__(self, hop: Endpoint, network: Network) -> None:
        self._hop, self._network = hop, network
        self.slots = threading.BoundedSemaphore(network.limits.behind_a_jump)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._refusal: Unreachable | None = None

    def reach(self, endpoint: Endpoint) -> None:
        """Connect unless connected; a failure is kept, so that only one host waits for it.

        Raises:
            Unreachable: jump-failed, or the codes of `auth`, for the host behind it.
        """
        with self._lock:
            alive = self._connection is not None and self._connection.transport.is_active()
            if self._refusal is None and not alive:
                self._connect()
            if (refusal := self._refusal) is not None:
                what = f"the jump host {self._hop.name}: {refusal.what}"
                raise endpoint.unreachable(refusal.code, what, refusal.hint) from refusal

    def _connect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            self._connection = self._network.connect(self._hop)
        except Unreachable as error:
            self._refusal = error

    def channel_to(self, host: str, port: int, timeout: float) -> paramiko.Channel:
        if self._connection is None:
            raise EOFError("the connection to the jump host is gone")
        return self._connection.transport.open_channel(
            "direct-tcpip", (host, port), ("", 0), timeout=timeout
        )

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()


_Route = _Jump | str | None  # a jump host, a proxy command, or a direct connection


def _parse_hop(behind: Endpoint, text: str, before: str) -> Endpoint:
    """Parse one hop of ProxyJump, `[user@]host[:port]`; earlier ones are its own jump hosts."""
    found = _HOP.fullmatch(text.removeprefix("ssh://"))
    if found is None:
        raise behind.unreachable(
            "jump-failed", f"{text!r} is no jump host; expected user@host:port"
        )
    user, bracketed, plain, port = found.groups()
    if not is_safe_address(bracketed or plain) or not is_safe_user(user or "root"):
        raise behind.unreachable("jump-failed", f"{text!r} has characters that no jump host has")
    return Endpoint(
        name=text,
        address=bracketed or plain,
        user=user,
        port=int(port) if port else None,
        proxy_jump=before or None,
        key_files=behind.key_files,
        connect_timeout=behind.connect_timeout,
    )


def _tune(sock: socket.socket, limits: Limits) -> None:
    """Disable Nagle's algorithm, and let the kernel detect a dead peer, too."""
    seconds = limits.interval + limits.silence
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": round(limits.interval),
        "TCP_KEEPINTVL": max(1, round(limits.silence / 3)),
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), max(1, value))
