"""Sign a bundle with an SSH key, by ssh-keygen, and read the signature beside one.

The signature is over bundle.json, which names every wheel by its sha256. It lies beside the bundle,
as NAME.shipit.sig: the bundle's own bytes follow from its contents alone.
"""

from __future__ import annotations

import os
from pathlib import Path

from shipit.agent.protocol.manifest import Signed
from shipit.errors import InputError, Mistake, Place
from shipit.project.programs import GIT, Program, tail

NAMESPACE = "shipit"
SIGN = 600.0  # seconds; a person looks for a token, and types a passphrase
LONGEST = 64 * 1024  # bytes
BEGIN = b"-----BEGIN SSH SIGNATURE-----"
KEYGEN = ("ssh-keygen", "-Y")


def path_of(bundle: Path) -> Path:
    """Return where the signature of a bundle lies."""
    return bundle.with_name(f"{bundle.name}.sig")


def beside(bundle: Path, text: str) -> tuple[Signed | None, Mistake | None]:
    """Return what was signed of a bundle, with its signature; or why that cannot be used.

    Neither, if there is no signature. One that cannot be used is refused where it is needed.
    """
    path = path_of(bundle)
    try:
        with path.open("rb") as stream:
            content = stream.read(LONGEST + 1)
        if len(content) > LONGEST:
            return None, refused(path, f"the signature has more than {LONGEST} bytes")
        return Signed(text, content.decode("ascii")), None
    except FileNotFoundError:
        return None, None
    except (OSError, UnicodeDecodeError) as error:
        return None, refused(path, f"the signature cannot be read: {error}")


def sign(bundle: Path, text: str, key: Path | None) -> Path:
    """Sign a bundle; return the path of the signature.

    Args:
        bundle: its file.
        text: its bundle.json.
        key: a private key, or a public one whose private half is in the ssh agent or on a token;
            without one, the SSH key with which git signs.

    Raises:
        InputError: there is no such key (no-signing-key), or ssh-keygen fails (signing-failed).
    """
    key = key or _of_git()
    place = Place(str(key))
    if not key.is_file():
        hint = "make one: ssh-keygen -t ed25519 -f FILE; or name another: --key FILE"
        raise InputError(Mistake("no-signing-key", "there is no such key", place, hint))
    argv = [*KEYGEN, "sign", "-n", NAMESPACE, "-f", str(key)]
    what = f"sign {bundle.name} with {key.name}"
    signing = Program(what, argv, Path.cwd(), SIGN, feed=text, may_ask=True)
    hint = "a public key needs its private half in the ssh agent: ssh-add -l lists what it has"
    signature = signing.checked("signing-failed", place, hint)
    return _written(path_of(bundle), signature)


def _written(path: Path, signature: str) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(signature)
        unfinished.replace(path)
    except OSError as error:
        what = f"the signature cannot be written: {error.strerror}"
        hint = "free some space, or copy the bundle to a folder that you can write to"
        raise InputError(Mistake("bundle-unwritable", what, Place(str(path)), hint)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _of_git() -> Path:
    """Return the SSH key with which git signs here.

    Raises:
        InputError: it has none (no-signing-key).
    """
    asked = ["git", "config", "--type=path", "user.signingKey"]
    if _output(["git", "config", "gpg.format"]) == "ssh" and (found := _output(asked)):
        return Path(found)
    what = "no signing key: --key is not given, and git is not configured to sign with SSH"
    hint = "name one: --key ~/.ssh/id_ed25519, or a public key whose private half is in ssh-agent"
    raise InputError(Mistake("no-signing-key", what, None, hint))


def _output(argv: list[str]) -> str:
    try:
        _, output, _ = Program("ask git", argv, Path.cwd(), GIT).attempt()
    except InputError:  # no git on this machine
        return ""
    return output.strip()


def refused(path: Path, what: str, evidence: str = "") -> Mistake:
    """Return the mistake of a signature that cannot be believed."""
    hint = "get the signature again from where the bundle was signed, or sign it: shipit sign"
    return Mistake("signature-refused", what, Place(str(path)), hint, evidence=tail(evidence))
