"""
What the kernel alone would take to pass 1 GiB on: the floor beneath any streamer.

Bytes go from one process over a loopback socket through the one that is measured to another process, in three ways:
read and sent (256 KiB at a time, in one buffer), spliced, and spliced with a tee(2) for a thread that hashes.  Printed
is the CPU of the one in the middle, and how long it took; the best of three.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable

SIZE = 1 << 30
PIECE = 256 * 1024
PIPE = 1 << 20
F_SETPIPE_SZ = 1031
LIBC = ctypes.CDLL(None, use_errno=True)


def send(into: socket.socket) -> None:
    data = bytes(PIECE)
    for _ in range(SIZE // PIECE):
        into.sendall(data)


def take(out: socket.socket) -> None:
    buffer = bytearray(PIECE)
    while out.recv_into(buffer):
        pass


def copied(out: socket.socket, into: socket.socket) -> None:
    buffer = bytearray(PIECE)
    view = memoryview(buffer)
    while got := out.recv_into(buffer):
        into.sendall(view[:got])


def copied_and_hashed(out: socket.socket, into: socket.socket) -> None:
    buffer = bytearray(PIECE)
    view, digest = memoryview(buffer), hashlib.sha256()
    while got := out.recv_into(buffer):
        digest.update(view[:got])
        into.sendall(view[:got])


def pipe() -> tuple[int, int]:
    import fcntl

    ends = os.pipe()
    fcntl.fcntl(ends[1], F_SETPIPE_SZ, PIPE)
    return ends


def spliced(out: socket.socket, into: socket.socket) -> None:
    read, write = pipe()
    while got := os.splice(out.fileno(), write, PIPE):
        while got:
            got -= os.splice(read, into.fileno(), got)
    os.close(read)
    os.close(write)


def spliced_and_hashed(out: socket.socket, into: socket.socket) -> None:
    read, write = pipe()
    second, copy = pipe()

    def digest() -> None:
        hashing = hashlib.sha256()
        while data := os.read(second, PIPE):
            hashing.update(data)

    thread = threading.Thread(target=digest)
    thread.start()
    while got := os.splice(out.fileno(), write, PIPE):
        while got:
            teed = LIBC.tee(read, copy, got, 0)  # waits for the thread, if that has more than a pipe before it
            got -= teed
            while teed:
                teed -= os.splice(read, into.fileno(), teed)
    os.close(copy)
    thread.join()
    for each in (read, write, second):
        os.close(each)


def child(work: Callable[[socket.socket], None]) -> tuple[int, socket.socket]:
    """A process that does this with one end of a loopback connection, and the other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    number = os.fork()
    if number == 0:
        ours.close()
        work(theirs)
        os._exit(0)
    theirs.close()
    return number, ours


def took(way: Callable[[socket.socket, socket.socket], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    taker, into = child(take)
    sender, out = child(send)
    cpu, wall = time.process_time(), time.perf_counter()
    way(out, into)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for each in (out, into):
        each.close()
    for process in (sender, taker):
        os.waitpid(process, 0)
    return cpu, wall


if __name__ == "__main__":
    for way in (copied, copied_and_hashed, spliced, spliced_and_hashed):
        cpu, wall = min(took(way) for _ in range(3))
        print(f"{way.__name__.replace('_', ' '):20} CPU {cpu:.2f} s, wall {wall:.2f} s")
