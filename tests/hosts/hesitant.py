"""Clients that connect, and wait a moment before they send a request.

A server that is asked to stop meanwhile has their connection, and no request on it: some close it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import Self

MOMENT = 0.2  # seconds
PATIENCE = 60.0  # seconds
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Hesitant:
    """So many clients, one visit after the other, while the block is entered.

    with Hesitant(address, port, 4) as clients:
        ...
    clients.answers  # the number of each status line; "" for no answer
    """

    def __init__(self, address: str, port: int, number: int) -> None:
        self._place = address, port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._come) for _ in range(number)]
        self._came: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> Counter[str]:
        return Counter(self._came)

    def _come(self) -> None:
        while not self._over.is_set():
            try:
                self._came.append(self._answer())
            except OSError as error:
                self._came.append(str(error))

    def _answer(self) -> str:
        with socket.create_connection(self._place, PATIENCE) as sock:
            time.sleep(MOMENT)  # the clients under test: servers that stop meanwhile lose them
            sock.sendall(REQUEST)
            with sock.makefile("rb") as answer:
                first = answer.readline().decode("latin-1").strip()
                answer.read()
        return first
