"""Have a host build a wheel, as its login user: send the source, get the wheel.

No agent is started, and nothing is done as root. `build_program` is what runs there.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from shipit.errors import InputError, Mistake, Unreachable
from shipit.project.building.orders import Built
from shipit.project.programs import BUILD, tail
from shipit.transport import connect
from shipit.transport.build_program import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.project.building.orders import Order
    from shipit.transport.channel import Stream
    from shipit.transport.endpoint import Endpoint
    from shipit.transport.ssh.client import Network

CHUNK = 256 * 1024  # bytes
ANSWER = 60.0  # seconds besides those of the build
WHEEL = 1800.0  # seconds for the wheel to arrive
LARGEST = 2 * 1024**3  # bytes of a wheel
MOST_STATUS = 255
MOST = 2 * 1024 * 1024  # bytes before the wheel: what a login shell prints, and the answer
AGAIN = "run the command again; see the host's load, its disk, and the network"
TOOLS = "install there what the build needs: a compiler, headers (python3-dev), an index for pip"
_NAME = re.compile(r"[A-Za-z0-9_.!+-]+\.whl")
_SENSELESS = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
_STATUSES = {  # of the script: what, hint
    86: ("it has no Python {}.{}", "name a host that has the Python of the target"),
    87: (
        "the login user is root, and a build runs code that nobody has checked",
        "name another user in the inventory: ansible_user",
    ),
}
# As in `bootstrap`: it passes through the user's login shell, whichever that is.
_SCRIPT = (
    '[ $4 = ssh ]&&[ "$(id -u)" = 0 ]&&exit 87;'
    'for n in $2;do q=$(command -v "$n")||continue;'
    '"$q" -I -S -c "import sys;v=sys.version_info[:2];sys.exit(v<$3 or v>$3)"'
    '</dev/null>/dev/null 2>&1&&exec "$q" -I -c "$1";done;exit 86'
)
_LOADER = (
    "import sys;f=sys.stdin.buffer;"
    'exec(compile(f.read(int(f.readline())),"shipit-build","exec"),{"__name__":"shipit_build"})'
)


class _LostError(Exception):
    """The host has ended the conversation, or is silent; the text says which."""


@dataclass(frozen=True)
class _Answer:
    """What the program has answered; the exit status is None if pip took too long."""

    status: int | None
    wheels: tuple[str, ...]
    size: int
    output: str
    libc: tuple[str, int, int]

    @classmethod
    def of(cls, said: Any) -> _Answer:  # noqa: ANN401 - as the host has sent it
        """Read an answer; raise one of _SENSELESS if it is none."""
        status, wheels = said["status"], tuple(map(str, said["wheels"]))
        if status is not None and (type(status) is not int or abs(status) > MOST_STATUS):
            raise ValueError("it has no exit status")
        return cls(status, wheels, int(said["size"]), str(said["output"]), _libc(said["libc"]))


def build(endpoint: Endpoint, network: Network, order: Order, folder: Path) -> Built:
    """Build a wheel on a host, and put it into a folder of this machine.

    Raises:
        InputError: the host cannot be reached, has no such Python, or the build fails there; names
            the host and the step.
        OSError: a file of this machine cannot be read or written.
    """
    version = "{}.{}".format(*order.python)
    names = f"python{version} python3 python"
    wanted = "({},{})".format(*order.python)
    argv = ("/bin/sh", "-c", _SCRIPT, "sh", _LOADER, names, wanted, endpoint.connection)
    try:
        with connect.session(endpoint, network, argv) as stream:
            try:
                _send(stream, order)
                return _received(stream, endpoint.name, order, folder)
            except _LostError as error:
                raise InputError(_ended(endpoint.name, order, error, stream)) from error
    except Unreachable as error:
        what = f"cannot build {order.what} on {error.host}: {error.step}: {error.what}"
        mistake = Mistake(error.code, what, None, error.hint, evidence=error.evidence)
        raise InputError(mistake) from error


def _send(stream: Stream, order: Order) -> None:
    program = resources.files("shipit.transport").joinpath("build_program.py").read_bytes()
    files = [order.pip, order.source]
    argv = [f"{order.pip.name}/pip", "wheel", "--no-deps", "--no-cache-dir", "--no-input"]
    argv += ["--disable-pip-version-check", "--progress-bar=off", "--wheel-dir", "out"]
    request = {
        "files": [[each.name, each.stat().st_size] for each in files],
        "argv": [*argv, f"./{order.source.name}"],
        "environment": {"SOURCE_DATE_EPOCH": str(order.time)},
        "seconds": BUILD,
    }
    _write(stream, b"%d\n%b%b\n" % (len(program), program, json.dumps(request).encode()))
    for each in files:
        with each.open("rb") as content:
            while piece := content.read(CHUNK):
                _write(stream, piece)


def _write(stream: Stream, content: bytes) -> None:
    try:
        stream.write(content)
    except OSError as error:
        raise _LostError(f"sending the source failed: {error}") from error


def _received(stream: Stream, host: str, order: Order, folder: Path) -> Built:
    """Receive the answer, and the wheel; nothing that the host says is believed without a check."""
    line, rest = _line(stream, host, order)
    try:
        said = _Answer.of(json.loads(line))
    except _SENSELESS as error:
        how = f"its answer makes no sense: {error!r:.200}"
        raise InputError(_failed(host, order, how, "")) from error
    if said.status is None:
        raise InputError(_failed(host, order, "it took too long", said.output))
    if said.status:
        how = f"pip ended with exit status {said.status}"
        raise InputError(_failed(host, order, how, said.output, TOOLS))
    name = said.wheels[0] if len(said.wheels) == 1 else ""
    if not _NAME.fullmatch(name) or not 0 < said.size <= LARGEST:
        raise InputError(_failed(host, order, f"the build made {said.wheels!r:.200}", said.output))
    folder.mkdir(exist_ok=True)
    path = folder / name
    _keep(stream, path, rest, said.size)
    return Built(path, said.libc)


def _line(stream: Stream, host: str, order: Order) -> tuple[bytes, bytes]:
    """Return the line of the answer, and what has arrived after it."""
    seconds, kept = BUILD + ANSWER, b""
    deadline = time.monotonic() + seconds
    while MARK not in kept or b"\n" not in kept.partition(MARK)[2]:
        kept += _more(stream, deadline, f"it gave no answer within {seconds:.0f} s")
        if len(kept) > MOST:
            raise InputError(_failed(host, order, "the host sends no answer", ""))
    line, _, rest = kept.partition(MARK)[2].partition(b"\n")
    return line, rest


def _keep(stream: Stream, path: Path, rest: bytes, size: int) -> None:
    """Write what has arrived of the wheel, and what follows."""
    deadline = time.monotonic() + WHEEL
    with path.open("wb") as out:
        while size > len(rest):
            out.write(rest)
            size -= len(rest)
            rest = _more(stream, deadline, f"the wheel did not arrive within {WHEEL:.0f} s")
        out.write(rest[:size])


def _more(stream: Stream, deadline: float, late: str) -> bytes:
    """Return the next bytes.

    Raises:
        _LostError: there are none in time (`late`), or no more.
    """
    while (left := deadline - time.monotonic()) > 0:
        try:
            piece = stream.read(min(left, 1.0))
        except OSError as error:
            raise _LostError(f"the connection has ended: {error}") from error
        if piece is None:
            continue
        if not piece:
            raise _LostError("it has ended the connection")
        return piece
    raise _LostError(late)


def _libc(said: Any) -> tuple[str, int, int]:  # noqa: ANN401 - as the host has sent it
    family, number = said
    parts = [int(part) for part in str(number).split(".")[:2] if part.isdecimal()]
    return (str(family), parts[0], parts[1]) if parts[1:] else ("", 0, 0)


def _ended(host: str, order: Order, error: _LostError, stream: Stream) -> Mistake:
    """Return why the conversation with a host has ended."""
    if known := _STATUSES.get(stream.status() or 0):
        what, hint = known
        why = f"cannot build {order.what} on {host}: {what.format(*order.python)}"
        return Mistake("builder-unfit", why, None, hint)
    return _failed(host, order, str(error), stream.stderr())


def _failed(host: str, order: Order, how: str, output: str, hint: str = AGAIN) -> Mistake:
    what = f"cannot build {order.what} on {host}: {how}"
    return Mistake("builder-failed", what, None, hint, evidence=tail(output))
