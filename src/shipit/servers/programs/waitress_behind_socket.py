"""waitress's command line on the listener that systemd gives; it has no option for that.

python waitress_behind_socket.py myapp:application
"""

from __future__ import annotations

import functools
import signal
import socket
import sys

import waitress
from waitress import runner

LISTENER = 3  # the first that systemd gives: sd_listen_fds(3)


def leave(*_: object) -> None:
    """Stop as by Ctrl-C: the requests that are being worked on have five seconds."""
    raise SystemExit


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    runner.run(
        sys.argv, functools.partial(waitress.serve, sockets=[socket.socket(fileno=LISTENER)])
    )
