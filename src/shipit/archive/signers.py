"""Check who has signed a bundle, by ssh-keygen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.archive.signature import KEYGEN, NAMESPACE, path_of, refused
from shipit.errors import InputError, Mistake, Place
from shipit.project.programs import Program

if TYPE_CHECKING:
    from shipit.agent.protocol.manifest import Signed
    from shipit.archive.file import Bundle

CHECK = 60.0  # seconds
# In: Good "shipit" signature with ED25519 key SHA256:...
_KEY = re.compile(r"with (\S+) key (\S+)")


def key_of(bundle: Bundle) -> str:
    """Return the type and the fingerprint of the key that has signed a bundle, "" for none.

    Raises:
        InputError: it has not: the signature is damaged, or one of something else
            (signature-refused).
    """
    if bundle.damaged:
        raise InputError(bundle.damaged)
    if bundle.signed is None:
        return ""
    said = _keygen(bundle.path, bundle.signed, "check-novalidate", "-n", NAMESPACE)
    status, output, errors = said.attempt()
    found = _KEY.search(output)
    if status != 0 or not found:
        what = "it is not a signature of this bundle"
        raise InputError(refused(path_of(bundle.path), what, errors))
    return f"{found[1]} {found[2]}"


def signer(bundle: Bundle, signers: Path) -> str:
    """Return who has signed a bundle, by the name that the file of allowed signers has for the key.

    Raises:
        InputError: nobody has (unsigned), or nobody of this file (signature-refused).
    """
    if bundle.signed is None:
        raise InputError(bundle.damaged or _unsigned(bundle))
    listed = ("-f", str(signers))
    found = _keygen(bundle.path, bundle.signed, "find-principals", *listed)
    status, output, errors = found.attempt()
    names = [name.strip() for line in output.splitlines() for name in line.split(",")]
    for name in filter(None, names) if status == 0 else ():
        options = ("-n", NAMESPACE, "-I", name, *listed)
        verifying = _keygen(bundle.path, bundle.signed, "verify", *options)
        status, output, errors = verifying.attempt()
        if status == 0:
            return name
    what = f"the signature is by no key that {signers.name} allows to sign for shipit"
    raise InputError(refused(path_of(bundle.path), what, errors + output))


def _unsigned(bundle: Bundle) -> Mistake:
    file = bundle.name.rpartition("/")[2].partition("?")[0]
    what = f"the bundle is not signed: there is no {file}.sig beside it"
    hint = f"sign it: shipit sign {bundle.name}; or get its signature from where it was built"
    if bundle.url:
        hint = "sign the file that was uploaded: shipit sign FILE; then upload FILE.sig beside it"
    if bundle.unfetched:
        what = bundle.unfetched
        hint = f"make sure that {file}.sig can be fetched as the bundle can, and try again"
    return Mistake("unsigned", what, Place(bundle.name), hint)


def _keygen(bundle: Path, signed: Signed, verb: str, *arguments: str) -> Program:
    signature = ("-s", str(path_of(bundle).absolute()))
    argv = [*KEYGEN, verb, *signature, *arguments]
    return Program(f"check who has signed {bundle.name}", argv, Path.cwd(), CHECK, feed=signed.text)
