"""A download whose consumer takes nothing gives its connection to who waits for one, and goes on with another later."""

from __future__ import annotations

from attrs import evolve

from ..flow.joins import Ask
from ..model.remote import Remote
from ..model.report import Attempt
from ..model.source import Head, Source
from ..urls import InvalidURL, parse
from .schemes import gate
from .slots import Slots

__all__ = ["Yielding", "with_attempt"]


class Yielding:
    """
    When one download does so: if somebody waits whom its connection serves, and if its rest can be asked for.

    A server may answer the whole to whoever asks for a rest.  That is read once more; who yields to it each time would
    read the file as often as it pauses.  So a place that was asked for a part and brought none keeps its connection.
    """

    _indivisible: frozenset[str] = frozenset()  # the URLs of places

    def __init__(self, slots: Slots, remote: Remote) -> None:
        """
        @param remote: of places that have none of their own.
        """
        self._slots = slots
        self._remote = remote

    def asked(self, place: Source, ask: Ask) -> None:
        """This place has answered this question."""
        if ask.span is not None:
            self._indivisible |= {place.url}

    def admitted(self, place: Source, answer: Head) -> None:
        """That answer is what was asked for, or can be used."""
        if answer.status == 206:
            self._indivisible -= {place.url}

    def due(self, place: Source, answer: Head, ask: Ask, head: Head | None) -> bool:
        """
        Is it time to do so?

        @param answer: of this place, whose body is being read.
        @param ask: what it would be asked for next.
        @param head: that of the bytes that came so far.
        """
        if head is None or ask.span is None or not ask.continues or not self._divisible(place, answer):
            return False
        stop = head.total if head.span is None else head.span.stop
        if stop is None or ask.span.start >= stop:
            return False
        try:
            url = parse(answer.url)  # where redirects have led to
        except InvalidURL:
            url = place.place
        host = gate(url, place.remote or self._remote)
        return self._slots.busy(host) > 0 and self._slots.wanted(host)  # a protocol without sockets has none to give

    def _divisible(self, place: Source, answer: Head) -> bool:
        ranges = answer.get(b"accept-ranges") or b""
        return place.url not in self._indivisible and ranges.strip().lower() != b"none"


def with_attempt(attempts: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """These, and this one; what it goes on with, because that has yielded, is one with it."""
    for before in attempts:
        if before.yielded and before.source is attempt.source and not attempt.outrun:
            whole = evolve(
                attempt,
                offset=before.offset,
                received=before.received + attempt.received,
                seconds=before.seconds + attempt.seconds,
                open_seconds=before.open_seconds + attempt.open_seconds,
            )
            return (*(each for each in attempts if each is not before), whole)
    return (*attempts, attempt)
