"""Sign a bundle with an SSH key, and check who has signed one. ssh-keygen does both.

The signature is over bundle.json, which names every wheel by its sha256. It lies beside the bundle,
as NAME.shipit.sig: the bundle's own bytes follow from its contents alone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from shipit.agent.protocol.manifest import Signed
from shipit.errors import InputError, Mistake, Place
from shipit.project.programs import GIT, Program, tail

NAMESPACE = "shipit"
SIGN, CHECK = 600.0, 60.0  # seconds; a person looks for a token, and types a passphrase
_LONGEST = 64 * 1024  # bytes
_KEYGEN = ("ssh-keygen", "-Y")
_KEY = re.compile(
    r"with (\S+) key (\S+)"
)  # in: Good "shipit" signature with ED25519 key SHA256:...


def path_of(bundle: Path) -> Path:
    """Return where the signature of a bundle lies."""
    return bundle.with_name(f"{bundle.name}.sig")


def beside(bundle: Path, text: str) -> Signed | None:
    """Return what was signed of a bundle, with its signature; None if there is no signature.

    Raises:
        InputError: the signature cannot be read (signature-refused).
    """
    path = path_of(bundle)
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise InputError(_refused(path, f"the signature has more than {_LONGEST} bytes"))
        return Signed(text, content.decode("ascii"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(_refused(path, f"the signature cannot be read: {error}")) from error


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
    argv = [*_KEYGEN, "sign", "-n", NAMESPACE, "-f", str(key)]
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
    what = "there is no key to sign with: git has none for `gpg.format = ssh`, either"
    hint = "name one: --key ~/.ssh/id_ed25519, or a public key whose private half is in ssh-agent"
    raise InputError(Mistake("no-signing-key", what, None, hint))


def _output(argv: list[str]) -> str:
    try:
        _, output, _ = Program("ask git", argv, Path.cwd(), GIT).attempt()
    except InputError:  # no git on this machine
        return ""
    return output.strip()


def key_of(bundle: Path, signed: Signed | None) -> str:
    """Return the type and the fingerprint of the key that has signed a bundle, "" for none.

    Raises:
        InputError: it has not: the signature is one of something else (signature-refused).
    """
    if signed is None:
        return ""
    said = _keygen(bundle, signed, "check-novalidate", "-n", NAMESPACE)
    status, output, errors = said.attempt()
    found = _KEY.search(output)
    if status != 0 or not found:
        raise InputError(_refused(path_of(bundle), "it is not a signature of this bundle", errors))
    return f"{found[1]} {found[2]}"


def signer(bundle: Path, signed: Signed | None, signers: Path, origin: str = "") -> str:
    """Return who has signed a bundle, by the name that the file of allowed signers has for the key.

    Args:
        bundle: its file.
        signed: what was signed of it.
        signers: the file.
        origin: where it comes from, if that is not its path.

    Raises:
        InputError: nobody has (unsigned), or nobody of this file (signature-refused).
    """
    if signed is None:
        where = origin or str(bundle)
        file = where.rpartition("/")[2].partition("?")[0]
        what = f"the bundle is not signed: there is no {file}.sig beside it"
        hint = f"sign it: shipit sign {where}; or get its signature from where it was built"
        raise InputError(Mistake("unsigned", what, Place(where), hint))
    listed = ("-f", str(signers))
    status, output, errors = _keygen(bundle, signed, "find-principals", *listed).attempt()
    names = [name.strip() for line in output.splitlines() for name in line.split(",")]
    for name in filter(None, names) if status == 0 else ():
        verifying = _keygen(bundle, signed, "verify", "-n", NAMESPACE, "-I", name, *listed)
        status, output, errors = verifying.attempt()
        if status == 0:
            return name
    what = f"the signature is by no key that {signers.name} allows to sign for shipit"
    raise InputError(_refused(path_of(bundle), what, errors + output))


def _keygen(bundle: Path, signed: Signed, verb: str, *arguments: str) -> Program:
    signature = ("-s", str(path_of(bundle).absolute()))
    argv = [*_KEYGEN, verb, *signature, *arguments]
    return Program(f"check who has signed {bundle.name}", argv, Path.cwd(), CHECK, feed=signed.text)


def _refused(path: Path, what: str, evidence: str = "") -> Mistake:
    hint = "get the signature again from where the bundle was signed, or sign it: shipit sign"
    return Mistake("signature-refused", what, Place(str(path)), hint, evidence=tail(evidence))
