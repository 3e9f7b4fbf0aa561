"""Check that a release is from a bundle that somebody has signed whom this host knows.

Only where an administrator has said who may sign (`system.signers`); nothing that a controller
sends switches it off. The signature is over the text of bundle.json. The release must consist of
the wheels that this names for one of its targets, each by its sha256. Units, files and environment
are not covered: they differ between stages.

Changes nothing, and leaves nothing: what ssh-keygen reads is in files without names, in memory.
"""

import os
import re
import subprocess
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import BinaryIO, Iterator, List, Optional, Tuple

from ..protocol.codec import from_json, parse
from ..protocol.manifest import Manifest, Signed
from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..system import files, process, signers
from ..system.failures import Refused
from ..system.paths import Paths
from ..system.signers import STEP

NAMESPACE = "shipit"  # of the signatures: one for git or for mail is not one for a release
TIMEOUT = 30.0  # seconds
TEXT_LIMIT, SIGNATURE_LIMIT = 4 * 1024 * 1024, 64 * 1024  # characters
SHOWN = 12  # digits of a sha256
MOST_NAMES = 32  # of one key in the file
PINNED = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+ --hash=sha256:([0-9a-f]{64})")
OLD = re.compile(r"(unknown|illegal|invalid) option|unsupported operation", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """A wheel that a bundle.json lists, or a Python with its version."""

    filename: str
    sha256: str
    size: int
    python: str = ""


@dataclass(frozen=True)
class ForTarget:
    """What one kind of host gets, by digests."""

    wheels: Tuple[str, ...]
    installer: str
    python: str = ""  # that comes with it


@dataclass(frozen=True)
class Bundle:
    """What a bundle.json says, as far as it is compared."""

    name: str
    version: str
    app: str
    artifacts: Tuple[Listed, ...]
    targets: Tuple[ForTarget, ...]


def problems(paths: Paths, manifest: Manifest, signed: Optional[Signed]) -> Tuple[Failure, ...]:
    """Return why this host does not take a release; nothing if it does, or asks for no signers."""
    try:
        require(paths, manifest, signed)
    except Refused as refused:
        return (replace(refused.failure, step=STEP),)
    return ()


def require(paths: Paths, manifest: Manifest, signed: Optional[Signed]) -> str:
    """Return who has signed a release, "" if this host does not ask.

    Raises:
        Refused: why it is not taken.
    """
    if not signers.are_asked_for(paths):
        return ""
    unusable = signers.problem(paths)
    if unusable:
        raise Refused(unusable)
    if signed is None:
        what = (
            "the release is not signed, and this host takes only releases that are signed by a key"
            f" in {paths.signers}"
        )
        hint = "sign its bundle, and deploy that: shipit sign BUNDLE, shipit deploy --bundle BUNDLE"
        raise Refused(Failure("unsigned", what, STEP, hint))
    if len(signed.text) > TEXT_LIMIT or len(signed.signature) > SIGNATURE_LIMIT:
        raise Refused(_differs("it is too large"))
    who = _signer(paths, signed)
    for difference in _differences(manifest, signed.text):
        raise Refused(_differs(difference))
    return who


# --- the signature -----------------------------------------------------------------------------


def _signer(paths: Paths, signed: Signed) -> str:
    """Return the name of the key that has signed, as the file has it.

    Raises:
        Refused: no key of the file has, or it cannot be found out.
    """
    with _unnamed(paths, signed.text) as text, _unnamed(paths, signed.signature) as signature:
        given = ("-s", f"/proc/{os.getpid()}/fd/{signature}", "-f", paths.signers)
        done = _keygen(text, "find-principals", *given, quiet=True)
        if not done.ok:
            done = _keygen(text, "find-principals", *given)
        for name in _names(done.output) if done.ok else ():
            done = _keygen(text, "verify", "-n", NAMESPACE, "-I", name, *given)
            if done.ok:
                return name
    what = f"the bundle's signature is by no key that {paths.signers} allows to sign for shipit"
    hint = "sign it with a key that is in this file, for `shipit`, and has not expired"
    raise Refused(Failure("signature-refused", what, STEP, hint, done.output))


@contextmanager
def _unnamed(paths: Paths, content: str) -> Iterator[int]:
    """Give a file without a name; it ends with its descriptor.

    Raises:
        Refused: signature-unchecked: there is no room for it.
    """
    with ExitStack() as opened:
        try:
            descriptor = opened.enter_context(_file(paths)).fileno()
            files.write_all(descriptor, content.encode("utf-8", "surrogatepass"))
        except OSError as error:
            hint = f"make room in memory or in {paths.var}, and see that it is not read-only"
            raise Refused(_unchecked(f"{error.strerror}", hint)) from error
        yield descriptor


def _file(paths: Paths) -> BinaryIO:
    """Open a file in memory, which works on a full disk; else one below root's own folder.

    A Python that was built with an old libc lacks the first, and a kernel can forbid it.
    """
    with suppress(AttributeError, OSError):
        return open(os.memfd_create("shipit"), "w+b", buffering=0)
    import tempfile  # noqa: PLC0415 - imports cost time, and few hosts need it

    return tempfile.TemporaryFile(dir=paths.var, buffering=0)


def _keygen(text: int, verb: str, *arguments: str, quiet: bool = False) -> process.Done:
    """Run the host's own ssh-keygen; `quiet` leaves out what it says besides its answer.

    Raises:
        Refused: signature-unchecked: it is missing, too old, cannot be started, or does not end.
    """
    os.lseek(text, 0, os.SEEK_SET)
    stderr = subprocess.DEVNULL if quiet else subprocess.STDOUT
    try:
        argv = ["ssh-keygen", "-Y", verb, *arguments]
        with closing(process.Running(argv, stdin=text, stderr=stderr)) as running:
            done = running.finish(TIMEOUT)
    except FileNotFoundError:
        hint = "install it: apt-get install openssh-client, or dnf install openssh"
        raise Refused(_unchecked("this host has no ssh-keygen", hint)) from None
    except OSError as error:
        raise Refused(_unchecked(f"ssh-keygen cannot be started: {error.strerror}", "")) from error
    if done.timed_out or done.status < 0:
        raise Refused(_unchecked(f"ssh-keygen -Y {verb} {done.end(TIMEOUT)}", "", done.output))
    if not done.ok and OLD.search(done.output):
        hint = "OpenSSH 8.2 or newer is needed on the host"
        raise Refused(_unchecked("this host's ssh-keygen is too old", hint, done.output))
    return done


def _names(output: str) -> List[str]:
    """Return the names of a key: one a line, or all in one by an earlier ssh-keygen."""
    names = [name.strip() for line in output.splitlines() for name in line.split(",")]
    return [name for name in names if name and not name.startswith("!")][:MOST_NAMES]


def _unchecked(why: str, hint: str, evidence: str = "") -> Failure:
    what = f"the bundle's signature cannot be checked: {why}"
    return Failure("signature-unchecked", what, STEP, hint, evidence)


# --- what was signed ---------------------------------------------------------------------------


def _differences(manifest: Manifest, text: str) -> Iterator[str]:
    """Yield how a release differs from the bundle that was signed."""
    try:
        bundle = from_json(Bundle, parse(text.encode()))
    except ValueError as error:
        yield f"its bundle.json is not understood ({error})"
        return
    app = manifest.app_wheel
    if (app.sha256, app.name, app.version) != (bundle.app, bundle.name, bundle.version):
        was = f"{bundle.name} {bundle.version} (sha256:{bundle.app:.{SHOWN}})"
        yield f"signed was {was}, this is {app.name} {app.version} (sha256:{app.sha256:.{SHOWN}})"
    if manifest.version != bundle.version:
        yield f"signed was version {bundle.version}, this is {manifest.version}"
    listed = {each.sha256: (each.filename, each.size, each.python) for each in bundle.artifacts}
    python = manifest.python
    for item in manifest.sent():
        version = item.version if python and item == python.archive else ""
        if listed.get(item.sha256) != (item.filename, item.size, version):
            yield f"the signed bundle does not list {item.filename} (sha256:{item.sha256})"
    wheels = {item.sha256 for item in manifest.wheels}
    given = (wheels, manifest.installer_wheel.sha256)
    if not any(
        given == ({*each.wheels}, each.installer) and (not python or python.sha256 == each.python)
        for each in bundle.targets
    ):
        yield "none of the signed targets has exactly these wheels, this installer and this Python"
    pins = [PINNED.fullmatch(line) for line in manifest.requirements.splitlines()]
    if {pin[1] if pin else "" for pin in pins} != {app.sha256, *wheels}:
        yield "its requirements name other wheels than it lists"


def _differs(how: str) -> Failure:
    what = f"the release is not what was signed: {how}"
    hint = "deploy the bundle as it was signed, or sign the one that you deploy"
    return Failure("signature-mismatch", what, STEP, hint)
