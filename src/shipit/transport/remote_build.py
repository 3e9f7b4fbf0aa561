"""Have a host build a wheel, as its login user: send the source, get the wheel.

No agent is started, and nothing is done as root. `build_program` is what runs there.
"""

from __future__ import annotations

import json
import re
import time
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
LARGEST = 2 * 1024**3  # bytes of a wheel
MOST = 2 * 1024 * 1024  # bytes before the wheel: what a login shell prints, and the answer
_WHEEL = re.compile(r"[A-Za-z0-9_.!+-]+\.whl")
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


def build(endpoint: Endpoint, network: Network, order: Order, folder: Path) -> Built:
    """Build a wheel on a host, and put it into a folder of this machine.

    Raises:
        InputError: the host cannot be reached, has no such Python, or the build fails there; names
            the host and the step.
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
            except OSError as error:
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
    stream.write(b"%d\n%b%b\n" % (len(program), program, json.dumps(request).encode()))
    for each in files:
        with each.open("rb") as content:
            while piece := content.read(CHUNK):
                stream.write(piece)


def _received(stream: Stream, host: str, order: Order, folder: Path) -> Built:
    """Receive the answer, and the wheel; nothing that the host says is believed without a check."""
    deadline, kept = time.monotonic() + BUILD + ANSWER, b""
    while MARK not in kept or b"\n" not in kept.partition(MARK)[2]:
        kept += _more(stream, deadline)
        if len(kept) > MOST:
            raise InputError(_failed(host, order, "the host sends no answer", ""))
    line, _, rest = kept.partition(MARK)[2].partition(b"\n")
    try:
        answer = json.loads(line)
        status, wheels, size = answer["status"], list(answer["wheels"]), int(answer["size"])
        output, libc = str(answer["output"]), _libc(answer["libc"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            _failed(host, order, f"its answer makes no sense: {error!r}", "")
        ) from error
    if status != 0:
        how = "it took too long" if status is None else f"pip ended with exit status {status!r}"
        raise InputError(_failed(host, order, how, output))
    if len(wheels) != 1 or not _WHEEL.fullmatch(str(wheels[0])) or not 0 < size <= LARGEST:
        raise InputError(_failed(host, order, f"the build made {wheels!r:.200}", output))
    folder.mkdir(exist_ok=True)
    path = folder / str(wheels[0])
    with path.open("wb") as out:
        while size > len(rest):
            out.write(rest)
            size -= len(rest)
            rest = _more(stream, deadline)
        out.write(rest[:size])
    return Built(path, libc)


def _more(stream: Stream, deadline: float) -> bytes:
    """Return the next bytes.

    Raises:
        OSError: there are none in time, or no more.
    """
    while (left := deadline - time.monotonic()) > 0:
        if (piece := stream.read(min(left, 1.0))) is None:
            continue
        if not piece:
            raise ConnectionError("the host has ended it")
        return piece
    raise TimeoutError(f"no answer within {BUILD + ANSWER:.0f} s")


def _libc(said: Any) -> tuple[str, int, int]:  # noqa: ANN401 - as the host has sent it
    family, number = said
    parts = [int(part) for part in str(number).split(".")[:2] if part.isdecimal()]
    return (str(family), parts[0], parts[1]) if parts[1:] else ("", 0, 0)


def _ended(host: str, order: Order, error: OSError, stream: Stream) -> Mistake:
    """Return why a host has ended the conversation."""
    if known := _STATUSES.get(stream.status() or 0):
        what, hint = known
        why = f"cannot build {order.what} on {host}: {what.format(*order.python)}"
        return Mistake("builder-unfit", why, None, hint)
    return _failed(host, order, f"the connection has ended: {error}", stream.stderr())


def _failed(host: str, order: Order, how: str, output: str) -> Mistake:
    what = f"cannot build {order.what} on {host}: {how}"
    hint = "install there what the build needs: a compiler, headers (python3-dev), an index for pip"
    return Mistake("builder-failed", what, None, hint, evidence=tail(output))
