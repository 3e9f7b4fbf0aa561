"""Choose the algorithms of an ssh connection: ours by default, or those of ssh_config.

SHA-1, MD5, 3DES and CBC are used only if ssh_config names them for that host. If host and shipit
share no algorithm, the error lists what the host offers. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WEAK = ("*-cbc", "hmac-md5*", "hmac-sha1*", "*-sha1", "ssh-rsa", "ssh-dss", "arcfour*")
_CERTIFICATES = "*-cert-v01@openssh.com"  # of hosts: paramiko does not verify them
_ALIASES = {"curve25519-sha256": "curve25519-sha256@libssh.org"}  # the same method


@dataclass(frozen=True)
class Kind:
    """One kind of algorithm that both sides of a connection negotiate.

    Attributes:
        word: its name in messages.
        options: the options of ssh_config that set it.
        offer: the keys of paramiko's parsed KEXINIT with the host's list.
    """

    word: str
    options: tuple[str, ...]
    offer: tuple[str, ...] = ()


KEX = Kind("key exchange", ("KexAlgorithms",), ("kex_algo_list",))
HOST_KEYS = Kind("host key algorithm", ("HostKeyAlgorithms",), ("server_key_algo_list",))
CIPHERS = Kind("cipher", ("Ciphers",), ("client_encrypt_algo_list", "server_encrypt_algo_list"))
MACS = Kind("MAC", ("MACs",), ("client_mac_algo_list", "server_mac_algo_list"))
PUBKEYS = Kind("public key algorithm", ("PubkeyAcceptedAlgorithms", "PubkeyAcceptedKeyTypes"))


def chosen(kind: Kind, supported: Sequence[str], settings: Mapping[str, object]) -> tuple[str, ...]:
    """Return the algorithms to offer, the preferred first.

    The values of ssh_config for this host are by option in lower case.

    Raises:
        InputError: ssh-config-algorithms, if ssh_config leaves none that is supported.
    """
    usable = [name for name in supported if not fnmatchcase(name, _CERTIFICATES)]
    option, setting = _setting(kind, settings)
    found = _applied(setting, usable)
    if not found:
        what = f"{option} {setting} of ssh_config leaves no {kind.word} that shipit knows"
        hint = f"add one of these for shipit: {', '.join(usable)}"
        raise InputError(Mistake("ssh-config-algorithms", what, hint=hint))
    return found


def is_ordered(kind: Kind, settings: Mapping[str, object]) -> bool:
    """Whether ssh_config sets the order as well: by a full list or by `^`."""
    setting = _setting(kind, settings)[1]
    return bool(setting) and setting[0] not in "+-"


def _setting(kind: Kind, settings: Mapping[str, object]) -> tuple[str, str]:
    for option in kind.options:
        if option.lower() in settings:
            return option, str(settings[option.lower()])
    return kind.options[0], ""


def _applied(setting: str, usable: Sequence[str]) -> tuple[str, ...]:
    """Apply a value of ssh_config to the default; "" is the default itself."""
    default = [name for name in usable if not any(fnmatchcase(name, weak) for weak in _WEAK)]
    how, listed = (setting[:1], setting[1:]) if setting[:1] in ("+", "-", "^") else ("", setting)
    patterns = [_ALIASES.get(part, part) for part in listed.split(",") if part.strip()]
    named = [name for pattern in patterns for name in usable if fnmatchcase(name, pattern)]
    by_prefix = {
        "+": [*default, *named],
        "-": [name for name in default if name not in named],
        "^": [*named, *default],
        "": named if setting else default,
    }
    return tuple(dict.fromkeys(by_prefix[how]))


def mismatch(
    offered: Mapping[str, Sequence[str]],
    ours: Mapping[Kind, Sequence[str]],
    supported: Mapping[Kind, Sequence[str]],
) -> tuple[str, str] | None:
    """Return the first kind of algorithm that the two sides do not share, and a hint."""
    for kind, mine in ours.items():
        for theirs in (offered[key] for key in kind.offer if key in offered):
            if set(mine) & set(theirs):
                continue
            what = (
                f"the host and shipit have no {kind.word} in common: "
                f"the host offers {', '.join(theirs) or 'none'}; shipit takes {', '.join(mine)}"
            )
            option = kind.options[0]
            hint = (
                f"allow one of shipit's in the host's sshd_config ({option}), or upgrade its sshd"
            )
            if weak := next((name for name in theirs if name in supported[kind]), None):
                hint += f"; or accept a weak one for this host in ~/.ssh/config: {option} +{weak}"
            return what, hint
    return None
