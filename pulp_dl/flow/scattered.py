"""A pipe to a consumer that is given other parts of the same file besides, by others."""

from __future__ import annotations

from typing import Any, Protocol

from ..errors import DownloadError
from ..model.source import Head
from .outlet import in_our_words
from .pipe import Pipe

__all__ = ["Enough", "Others", "Scattered"]


class Enough(DownloadError):
    """What follows is brought by others."""


class Others(Protocol):
    """Who brings other parts."""

    @property
    def begin(self) -> int | None:
        """Where what they bring begins, if they bring anything."""

    def came(self) -> None:
        """The beginning has grown."""

    def give_way(self) -> bool:
        """It has come to C{begin}.  True if it may go on, for nothing is there yet, and C{begin} has moved."""

    def overtaken(self, to: int) -> None:
        """It goes on up to this offset, whatever is there: nobody else may write before that any more."""

    def forget(self) -> None:
        """All of it is about to be forgotten."""


class Scattered(Pipe):
    """
    As any pipe, for the beginning of a file.

    @ivar others: those who bring other parts of it, if there are any.
    """

    others: Others | None = None

    @property
    def judged(self) -> bool:
        """A digest of the whole will tell whether it is right."""
        return self._demands.judged

    @property
    def speed(self) -> float | None:
        """Bytes a second that the current attempt brings; None if that is not known yet."""
        seconds = self.open_seconds
        return self.received / seconds if self.received and seconds else None

    @property
    def silent(self) -> float:
        """Seconds for which a body is awaited and does not come."""
        return self._watch.silent if self._taking and self._watch is not None else 0.0

    def enough(self) -> None:
        """The body that is coming has come far enough."""
        self.valve.clear()
        self._break(Enough("others bring the rest"))

    def _accept(self, data: bytes) -> None:
        others = self.others
        if others is None:
            super()._accept(data)
            return
        if not self._taking:  # these were kept; what is asked for meanwhile follows them
            others.overtaken(self.offset + len(data))
            super()._accept(data)
            return
        while data and self._error is None:
            begin = others.begin
            room = len(data) if begin is None else begin - self.offset
            known, data = data[:room], data[room:]
            if known:
                super()._accept(known)
                others.came()
            if others.begin is not None and self.offset >= others.begin and not others.give_way():
                self.enough()

    async def _start_again(self, head: Head) -> Head:
        if self.others is not None:
            self.others.forget()
        return await super()._start_again(head)

    async def skip(self, to: int, consumer: Any) -> None:
        """
        What comes next is there already, up to this offset: read it, and go on behind it.

        @param consumer: the L{IRandomAccess<pulp_dl.consumers.interfaces.IRandomAccess>}.
        """
        assert self._checks is not None
        await self._checks.rest()
        with in_our_words:
            await consumer.reread(self.offset, to, self._checks.look)
            consumer.seek(to)
        self.offset = self.outlet.given = to

    async def again(self, consumer: Any) -> None:
        """All bytes are there, and some are others than those that came: judge them anew."""
        assert self.head is not None
        self._checks = self._start_checks(self.head)
        total, self.offset = self.outlet.given, 0
        await self.skip(total, consumer)
