"""granian's command line on the listener that systemd gives; it has no option for that.

    python granian_behind_socket.py --interface asgi myapp:app

Through a method that granian does not document: the versions in `known` are those that have it.
"""

from __future__ import annotations

import multiprocessing
import socket

from granian import cli
from granian.net import SocketHolder
from granian.server import Server

LISTENER = 3  # the first that systemd gives: sd_listen_fds(3)


class ServerBehindSocket(Server):
    def _init_shared_socket(self) -> None:
        with socket.socket(fileno=LISTENER) as listener:
            is_path = listener.family == socket.AF_UNIX
            listener.detach()
        self._ssp = self._sso = None
        self._sfd, self._shd = LISTENER, SocketHolder(LISTENER, is_path, self.backlog)


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # so that the workers have the listener as well
    cli.Server = ServerBehindSocket
    cli.entrypoint()
