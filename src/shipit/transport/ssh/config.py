"""Read ~/.ssh/config and its includes as one text, which paramiko parses.

Include is expanded here because paramiko ignores it. As in ssh_config(5), lines after an Include
belong to the Host or Match block before it. One difference: an Include inside a block that does not
match is still read.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLLOWED = frozenset(
    """
    hostname port user identityfile identitiesonly certificatefile proxyjump proxycommand
    hostkeyalias userknownhostsfile globalknownhostsfile revokedhostkeys requiredrsasize
    hostkeyalgorithms kexalgorithms ciphers macs pubkeyacceptedalgorithms pubkeyacceptedkeytypes
    passwordauthentication
    """.split()  # noqa: SIM905 - a list of this length is read as a text
)
# Options without effect here: forwarding, terminals, logs, connection sharing, prompts, host
# certificates, and what only writes to known_hosts.
WITHOUT_MEANING = frozenset(
    """
    addkeystoagent batchmode casignaturealgorithms challengeresponseauthentication checkhostip
    clearallforwardings compression connectionattempts connecttimeout controlmaster controlpath
    controlpersist dynamicforward enableescapecommandline enablesshkeysign escapechar
    exitonforwardfailure fingerprinthash forkafterauthentication forwardagent forwardx11
    forwardx11timeout forwardx11trusted gatewayports gssapiauthentication
    gssapidelegatecredentials gssapikeyexchange hashknownhosts hostbasedauthentication
    ignoreunknown ipqos kbdinteractiveauthentication localcommand localforward loglevel logverbose
    numberofpasswordprompts obscurekeystroketiming permitlocalcommand permitremoteopen rekeylimit
    remotecommand remoteforward requesttty sendenv serveralivecountmax serveraliveinterval
    sessiontype setenv stdinnull streamlocalbindmask streamlocalbindunlink syslogfacility tag
    tcpkeepalive tunnel tunneldevice updatehostkeys usekeychain visualhostkey xauthlocation
    """.split()  # noqa: SIM905 - a list of this length is read as a text
)
_DEFAULTS = {  # values of options that are not followed, but match what shipit does
    "addressfamily": {"any"},
    "canonicalizehostname": {"no"},
    "identityagent": {"ssh_auth_sock"},
    "pubkeyauthentication": {"yes"},
    "stricthostkeychecking": {"yes", "ask"},
    "verifyhostkeydns": {"no"},
}
_DEEPEST = 16  # as OpenSSH


def text_of(file: Path, depth: int = 0) -> str:
    """Return the file's text with Includes expanded; a missing file is empty.

    Raises:
        InputError: ssh-config, for a file that cannot be read or includes itself.
    """
    if depth > _DEEPEST:
        raise _wrong(file, "Include goes too deep; does a file include itself?")
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _wrong(file, f"the file cannot be read: {error.strerror}") from error
    block, out = "Host *", []
    for line in lines:
        words = line.replace("=", " ", 1).split(None, 1)
        keyword = words[0].lower() if words else ""
        if keyword in ("host", "match"):
            block = line
        if keyword == "include":
            out += [_included(file, words[1] if len(words) > 1 else "", depth), block]
        else:
            out.append(line)
    return "\n".join(out)


def unfollowed(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the options set for a host that shipit does not follow.

    Each comes with its value; the names are in lower case, as in `settings`.
    """
    return [
        (option, str(value))
        for option, value in settings.items()
        if option not in FOLLOWED | WITHOUT_MEANING
        and str(value).lower() not in _DEFAULTS.get(option, ())
    ]


def _included(file: Path, patterns: str, depth: int) -> str:
    texts = []
    for pattern in shlex.split(patterns):
        path = file.parent / pattern.replace("~", str(file.parent.parent), 1)
        texts += [text_of(found, depth + 1) for found in sorted(path.parent.glob(path.name))]
    return "\n".join(texts)


def _wrong(file: Path, what: str) -> InputError:
    return InputError(Mistake("ssh-config", what, Place(str(file))))
