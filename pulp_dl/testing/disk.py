"""A disk that fails when it is told to, and dies with its process."""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from attrs import field, frozen

__all__ = ["DiskFault", "FaultDisk"]

_ANSWERS: Final = frozenset({"access", "fspath", "fsencode", "fsdecode", "strerror"})
"""They never raise, or ask no disk."""
_WRITES: Final = frozenset({"write", "writev", "pwrite"})


@frozen
class DiskFault:
    """
    What happens to a call.

    @ivar after: how many calls go well before.
    @ivar error: what it raises, of L{errno}; None: if it writes, it writes half of what it is given.
    @ivar again: all later calls of its kind fail as well.
    """

    after: int
    error: int | None = field(repr=lambda error: "None" if error is None else errno.errorcode[error])
    again: bool = field(default=False, kw_only=True)


class FaultDisk:
    """
    Stands for L{os} in C{ToFile(path, disk=FaultDisk(DiskFault(3, errno.ENOSPC)))}: does what that does, and fails.

    @ivar dead: nothing that is done reaches the disk any more.
    """

    def __init__(self, *faults: DiskFault) -> None:
        self.dead = False
        self._calls = 0
        self._due: list[tuple[int, DiskFault]] = []
        self._lasting: dict[str, DiskFault] = {}
        self._dies_at: int | None = None
        self._open: set[int] = set()
        for fault in faults:
            self.fail(fault)

    def fail(self, fault: DiskFault) -> None:
        """From now on, too."""
        self._due.append((self._calls + fault.after, fault))

    def heal(self) -> None:
        """Nothing fails any more; who is dead stays so."""
        self._due.clear()
        self._lasting.clear()

    def crash(self, after: int = 0) -> None:
        """
        The process dies after so many more calls.  What it had written stays, its descriptors are closed, and nothing
        that its remains do, such as cleaning up, has any effect: it raises EIO.
        """
        self._dies_at = self._calls + after
        if not after:
            self._die()

    def _die(self) -> None:
        self.dead, self._dies_at = True, None
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if not callable(real) or name in _ANSWERS:
            return real

        def do(*arguments: Any, **options: Any) -> Any:
            if self._dies_at == self._calls:
                self._die()
            if self.dead:
                raise OSError(errno.EIO, "the process is dead")
            self._calls += 1
            result = self._do(name, real, arguments, options)
            if name in {"open", "dup"}:
                self._open.add(result)
            elif name == "close":
                self._open.discard(arguments[0])
            return result

        return do

    def _do(self, name: str, real: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        fault = self._lasting.get(name)
        for due in self._due:
            if due[0] < self._calls:
                self._due.remove(due)
                fault = due[1]
                break
        if fault is None:
            return real(*arguments, **options)
        if fault.again:
            self._lasting[name] = fault
        if fault.error is None:
            return self._halved(name, real, arguments) if name in _WRITES else real(*arguments, **options)
        if name == "close":
            real(*arguments)  # which frees the descriptor, whatever it says
            self._open.discard(arguments[0])
        raise OSError(fault.error, os.strerror(fault.error))

    @staticmethod
    def _halved(name: str, real: Any, arguments: tuple[Any, ...]) -> Any:
        fd, data, *rest = arguments
        whole = b"".join(data) if name == "writev" else bytes(data)
        return (os.pwrite if name == "pwrite" else os.write)(fd, whole[: max(1, len(whole) // 2)], *rest)
