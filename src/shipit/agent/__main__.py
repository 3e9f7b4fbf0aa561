"""Start in the role that the argv names. Imports only what that role needs.

serve              answer a controller on stdin and stdout
receive            receive parts of blobs on stdin
download           fetch pieces of a file over HTTP, without being root
transact APP ROOT  drive the open transaction: the main of its transient unit
recover APP ROOT   settle a transaction that nobody drives: the main of the boot-time unit
watch APP ROOT     look at the committed release for a while: the main of the unit that watches
"""

import os
import sys
from typing import List

USAGE = "usage: agent.pyz serve | receive | download | (transact | recover | watch) APP ROOT\n"
WRONG_USE = 2
SESSION_ROLES, APP_ROLES = ("serve", "receive"), ("transact", "recover", "watch")


def main(argv: List[str]) -> int:
    """Run the role in `argv` (without the program's name); return the exit status."""
    os.umask(0o022)
    role, arguments = (argv[0], argv[1:]) if argv else ("", [])
    if role == "download" and not arguments:
        from .host import download  # noqa: PLC0415

        return download.main(sys.stdin.buffer, sys.stdout.buffer)
    if role in SESSION_ROLES and not arguments:
        from .server import server  # noqa: PLC0415

        if role == "receive":
            return server.receive(sys.stdin.fileno(), sys.stdout.fileno())
        return server.serve(sys.stdin.fileno(), sys.stdout.fileno(), sys.argv[0])
    if role in APP_ROLES and len(arguments) == len(("APP", "ROOT")):
        return _of_app(role, *arguments)
    sys.stderr.write(USAGE)
    return WRONG_USE


def _of_app(role: str, app: str, root: str) -> int:
    from .host.host import RealHost  # noqa: PLC0415
    from .system.failures import TRY_AGAIN, Refused  # noqa: PLC0415
    from .system.paths import Paths  # noqa: PLC0415
    from .transaction.store import Store  # noqa: PLC0415

    store, sentence = Store(Paths(app, root), RealHost()), ""
    try:
        if role == "watch":
            from .watch import watcher  # noqa: PLC0415

            sentence = watcher.run(store)
        elif role == "transact":
            from .transaction import runner  # noqa: PLC0415

            return runner.transact(store)
        else:
            from .transaction import recovery  # noqa: PLC0415

            sentence = recovery.recover_at_boot(store)
    except Refused as refused:
        sys.stderr.write(f"[{refused.failure.code}] {refused.failure.what}\n")
        return TRY_AGAIN
    sys.stdout.write(f"{sentence}\n" if sentence else "")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
