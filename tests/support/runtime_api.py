"""A haproxy as far as its runtime API goes: a real socket, served by a thread.

with RuntimeApi(folder).serving() as api:
api.address, api.states["web/web1"]
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "# pxname,svname,qcur,qmax,scur,smax,slim,status,last_chk"


@dataclass
class RuntimeApi:
    """One haproxy with the servers `states`."""

    folder: Path | None = None  # for a unix socket; None: TCP
    states: dict[str, str] = field(default_factory=lambda: {"web/web1": "ready"})
    sessions: list[int] = field(default_factory=list)  # of this server at each look; then 0
    status: str = "UP"  # of a server that is ready
    says: bytes | None = None  # instead of its own answers
    endless: bool = False  # repeats that for ever
    lines: list[str] = field(default_factory=list)
    address: str = ""

    @contextmanager
    def serving(self) -> Iterator[Self]:
        family = socket.AF_UNIX if self.folder else socket.AF_INET
        with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
            sock.bind(str(self.folder / "admin.sock") if self.folder else ("127.0.0.1", 0))
            name = sock.getsockname()
            self.address = name if self.folder else f"127.0.0.1:{name[1]}"
            sock.listen()
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            thread.start()
            yield self
            sock.shutdown(socket.SHUT_RDWR)
        thread.join()

    def _serve(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, _ = sock.accept()
            except OSError:  # closed
                return
            with connection:
                line = connection.makefile("r").readline().strip()
                self.lines.append(line)
                self._say(connection, self._answer(line) if self.says is None else self.says)

    def _say(self, connection: socket.socket, answer: bytes) -> None:
        try:
            connection.sendall(answer)
            while self.endless:
                connection.sendall(answer)
        except OSError:  # the client has enough
            return

    def _answer(self, line: str) -> bytes:
        words = line.split()
        if words[:2] == ["set", "server"]:
            return self._set(words[2], words[4]).encode()
        sessions = self.sessions.pop(0) if self.sessions else 0
        rows = [
            f'{name.replace("/", ",")},0,0,{sessions},9,,{self._status(state)},"L7OK, 200"'
            for name, state in self.states.items()
        ]
        return "\n".join([HEADER, *rows, "", ""]).encode()

    def _set(self, name: str, state: str) -> str:
        if name not in self.states:
            known = {each.partition("/")[0] for each in self.states}
            what = "server" if name.partition("/")[0] in known else "backend"
            return f"No such {what}.\n\n"
        self.states[name] = state
        return "\n"

    def _status(self, state: str) -> str:
        return {"ready": self.status, "drain": "DRAIN"}[state]
