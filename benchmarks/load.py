"""
Clients of a streamer, in a process of their own: many at once, and nothing that they do not need.

Prints one JSON object when it is at its end; every answer has to be 200 and to have as many bytes as it should.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

PIECE = 256 * 1024
HELD = 128 * 1024  # the receive buffer of a client that stalls: what is in there is not in the streamer
RATE, TURN = 64_000, 0.25  # bytes a second of a slow client, and how often it reads
LOOK = 0.005  # seconds between two looks of a crowd: each of its figures is late by so much, at most
GOOD = b"HTTP/1.1 200 "
PATIENCE = 60.0  # seconds that a client which stalls waits for a head
QUIET = 1.0  # seconds without a byte after which nothing more is to be expected by clients that stall


class Client:
    """One connection: asks for one file after the other, as long as there are some."""

    def __init__(self, load: Load, wanted: Iterator[tuple[str, int]], take: int | None = None) -> None:
        """
        @param take: bytes after which it reads no more, without an end.
        """
        self._load = load
        self._wanted = wanted
        self._take = take
        self._head = b""
        self._left = 0
        self.taken = 0
        self.asked_at = self.first_at = 0.0
        self.socket = socket.socket()
        if take is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD)
        self.socket.connect(load.address)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> bool:
        """For the next one; False if there is none."""
        path, size = next(self._wanted, ("", 0))
        if not path:
            return False
        self._head, self._left, self.first_at = b"", size, 0.0
        self.asked_at = time.perf_counter()
        self.socket.send(f"GET {path} HTTP/1.1\r\nHost: {self._load.host}\r\n\r\n".encode())
        return True

    def await_head(self) -> None:
        """Of an answer that it may never take: a client that waits, or was refused, stalls at little cost."""
        if self._head:
            return
        self.socket.settimeout(PATIENCE)
        if not self.socket.recv(len(GOOD), socket.MSG_PEEK).startswith(GOOD):
            raise SystemExit("that is not the answer it wants")
        self.socket.setblocking(False)

    def read(self) -> bool:
        """Take what is there; False if that was all it wants."""
        buffer = self._load.buffer
        size = self.socket.recv_into(buffer)
        if not size:
            raise SystemExit(f"an answer broke off: {self._head[:200]!r}, {self._left} bytes are missing")
        if not self.first_at:
            self.first_at = time.perf_counter()
            self._load.waits.append(self.first_at - self.asked_at)
        if not self._head.endswith(b"\r\n\r\n"):
            self._head += bytes(buffer[:size])
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return True
            size = len(self._head) - end - 4
            self._head = self._head[: end + 4]
            if not self._head.startswith(GOOD) or b"chunked" in self._head.lower():
                raise SystemExit(f"no such answer is known here: {self._head!r}")
        self._left -= size
        self.taken += size
        if self._left < 0:
            raise SystemExit(f"{-self._left} bytes too many")
        if self._take is not None and self.taken >= self._take:
            return False
        return self._left > 0 or self.ask()


class Load:
    """All of them."""

    def __init__(self, host: str) -> None:
        name, _, port = host.partition(":")
        self.host, self.address = host, (name, int(port))
        self.buffer = memoryview(bytearray(PIECE))
        self.waits: list[float] = []  # for first bytes
        self._selector = selectors.DefaultSelector()
        self._watched = 0

    def start(self, client: Client, *, read: bool = True) -> Client:
        if client.ask() and read:
            self._selector.register(client.socket, selectors.EVENT_READ, client)
            self._watched += 1
        return client

    def run(self, quiet: float | None = None, every: float = 0.0) -> None:
        """Until nobody reads any more, or nothing has come for so long; a look each so many seconds."""
        while self._watched:
            if every:
                time.sleep(every)
            ready = self._selector.select(quiet)
            if not ready:
                return
            for key, _ in ready:
                if not key.data.read():
                    self._selector.unregister(key.fileobj)
                    self._watched -= 1


def fetch(load: Load, wanted: list[tuple[str, int]], clients: int) -> dict[str, Any]:
    """All files, by so many clients, each on one connection."""
    return _fetch(load, wanted, clients, 0.0)


def crowd(load: Load, wanted: list[tuple[str, int]], clients: int) -> dict[str, Any]:
    """
    As C{fetch}, but looked at from time to time.  Who sleeps until something comes is woken by each piece, and takes
    the core of who has sent it; clients on other machines do not.
    """
    return _fetch(load, wanted, clients, LOOK)


def _fetch(load: Load, wanted: list[tuple[str, int]], clients: int, every: float) -> dict[str, Any]:
    files = iter(wanted)
    for _ in range(clients):
        load.start(Client(load, files))
    load.run(every=every)
    return {"p99": sorted(load.waits)[int(len(load.waits) * 0.99)]}


def slowly(load: Load, wanted: list[tuple[str, int]], clients: int) -> dict[str, Any]:
    """As C{fetch}, but each client takes 64 kB in a second."""
    files = iter(wanted)
    load.buffer = load.buffer[: int(RATE * TURN)]
    reading = [load.start(Client(load, files, take=1 << 62), read=False) for _ in range(clients)]
    began, turns = time.perf_counter(), 0
    while reading:
        turns += 1
        time.sleep(max(began + turns * TURN - time.perf_counter(), 0))
        reading = [client for client in reading if _reads_on(client)]
    return {"p99": sorted(load.waits)[int(len(load.waits) * 0.99)]}


def _reads_on(client: Client) -> bool:
    try:
        return client.read()
    except BlockingIOError:
        return True


def first_bytes(load: Load, wanted: list[tuple[str, int]], clients: int) -> dict[str, Any]:
    """One after the other, and how long each takes to begin to come."""
    client = load.start(Client(load, iter(())))
    seconds = []
    for each in wanted:
        client._wanted = iter([each])
        load.start(client)
        load.run()
        seconds.append(client.first_at - client.asked_at)
    return {"first_byte": median(seconds)}


def stall(load: Load, wanted: list[tuple[str, int]], clients: int, take: int, apart: int) -> dict[str, Any]:
    """
    Each wants one file, one after the other of them, and takes no more after so many bytes, each after C{apart} more
    than the one before; then it waits for somebody who looks.
    """
    takes = [take + apart * number for number in range(clients)]
    files = cycle(wanted)
    idle = [load.start(Client(load, islice(files, 1), each), read=take > 0) for each in takes]
    load.run(QUIET * 5)
    for client in idle:
        client.await_head()
    time.sleep(QUIET * 3)  # what is on its way fills all buffers
    print("stalled", flush=True)
    sys.stdin.readline()
    return {"least": min(client.taken for client in idle)}


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "fetch": fetch,
    "crowd": crowd,
    "slowly": slowly,
    "first": first_bytes,
    "stall": stall,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("host", help="of the streamer, with its port")
    parser.add_argument("files", type=Path, help="lines of a path, a tab, and its size")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--take", type=int, default=0)
    parser.add_argument("--apart", type=int, default=0)
    options = parser.parse_args()
    lines = (line.split("\t") for line in options.files.read_text().splitlines())
    wanted = [(path, int(size)) for path, size in lines]
    more = {"take": options.take, "apart": options.apart} if options.way == "stall" else {}
    began = time.perf_counter()
    found = WAYS[options.way](Load(options.host), wanted, options.clients, **more)
    print(json.dumps({"wall": time.perf_counter() - began, **found}))


if __name__ == "__main__":
    main()
