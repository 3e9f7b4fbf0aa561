"""Customers who connect, and take a moment before they ask.

A server that is told to stop meanwhile has their connection, and no request on it: some close it.
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
    """So many of them, one visit after the other, for as long as the block lasts.

    with Hesitant(address, port, 4) as customers:
        ...
    customers.answers  # how often which status line came; "" for none
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
            time.sleep(MOMENT)  # what these customers are: it is in here that servers lose them
            sock.sendall(REQUEST)
            with sock.makefile("rb") as answer:
                first = answer.readline().decode("latin-1").strip()
                answer.read()
        return first
