"""All that is expected of a body, over one pass: inline while it is small, on a worker thread once it is large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..errors import ConsumerFailed, DownloadError, ValidationError
from ..interfaces import ICheck, IExpectation, IWorkers
from ..model.expect import Digest, Hashing
from .timers import Call, Clock
from .valve import Valve

__all__ = ["Checks"]

FEW = 8
"""Pieces that a worker is given as they came; more of them are joined first."""

LEAST = 128 * 1024
"""Bytes of the first pieces for a consumer that may turn out to be slow; later ones grow with what it has taken."""

REST = 0.1
"""Seconds of a pause after which bytes are not kept any longer to make a larger piece of them."""

INLINE = 256 * 1024
"""Bytes of a body that are hashed in the reactor: 0.25 ms of sha256, less than a thread's hand-over of many pieces."""


class Checks:
    """One pass of every expectation over one body."""

    _seen = 0
    _lane: Any = None
    _batched = 0
    _resting: Call | None = None

    def __init__(
        self,
        expectations: Iterable[IExpectation],
        workers: IWorkers,
        valve: Valve,
        clock: Clock,
        *,
        provable: bool,
    ) -> None:
        """
        @param provable: keep a digest of what came so far, even if nobody expects one.  The consumer cannot forget: it
            is a client, and there may be many slow ones.
        """
        self._pairs: list[tuple[IExpectation | None, ICheck]] = []
        for each in expectations:
            try:
                check = each.start()
            except DownloadError:
                raise
            except Exception as error:
                raise _blamed(each, error) from error
            self._pairs.append((each, check))
        if provable:
            self._keep_a_digest()
        self._free = not provable
        self._workers = workers
        self._valve = valve
        self._batch: list[bytes] = []
        self._clock = clock

    def _keep_a_digest(self) -> None:
        for _, check in self._pairs:
            if isinstance(check, Hashing):
                return
        self._pairs.append((None, Hashing("sha256", None)))

    def update(self, data: bytes) -> None:
        """The next bytes."""
        if not self._pairs:
            return
        self._seen += len(data)
        if self._lane is None:
            if self._seen <= INLINE:
                self._update(data)
                return
            self._lane = self._workers.lane(self._relieved, self._failed, None)
        self._batch.append(data)
        self._batched += len(data)
        if self._batched >= self._piece:
            self._send()

    @property
    def _piece(self) -> int:
        piece: int = self._lane.piece
        return piece if self._free else min(piece, max(LEAST, self._seen >> 5))

    def _send(self) -> None:
        batch, size = self._batch, self._batched
        self._batch, self._batched = [], 0
        if len(batch) > FEW:  # copying costs less than handing over the interpreter lock for each
            batch = [b"".join(batch)]

        def look() -> None:
            for piece in batch:
                self._update(piece)

        if self._lane.put(look, size):
            self._valve.hold("checks")

    def _update(self, data: bytes) -> None:
        for expectation, check in self._pairs:
            try:
                check.update(data)
            except DownloadError:
                raise
            except Exception as error:
                raise _blamed(expectation, error) from error

    def turned(self, open_: bool) -> None:
        """The valve opened or closed.  While a slow reader pauses, what is to be a larger piece is only in memory."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._batch and not open_:
            self._resting = self._clock.callLater(REST, self._rest)

    def _rest(self) -> None:
        self._resting = None
        if self._batch:
            self._send()

    def _relieved(self) -> None:
        self._valve.release("checks")

    def _failed(self, failure: Failure) -> None:
        # settled() tells; until then the rest of the body may come.
        self._valve.release("checks")

    def feed(self, pieces: Iterator[bytes]) -> Deferred[Any]:
        """Bytes of an earlier run, read and checked in a worker thread."""

        def read() -> None:
            for piece in pieces:
                self.look(piece)

        return self._workers.run(read)

    def look(self, data: bytes) -> None:
        """The next bytes, read again in a worker thread, when all before them is settled."""
        self._seen += len(data)
        self._update(data)

    def settled(self) -> Deferred[None] | None:
        """None, or a Deferred that fires when all bytes so far have been looked at."""
        if self._lane is None:
            return None
        self.turned(True)
        if self._batch:
            self._send()
        waiting: Deferred[None] = self._lane.settled()
        return waiting

    async def rest(self) -> None:
        """Wait until they have been."""
        settled = self.settled()
        if settled is not None:
            await settled

    def so_far(self) -> tuple[str, bytes]:
        """Algorithm and digest of the bytes so far; all have to be settled."""
        for _, check in self._pairs:
            if isinstance(check, Hashing):
                return check.algorithm, check.so_far()
        raise RuntimeError("nothing keeps a digest")

    def would_hold(self, last: Iterable[bytes]) -> bool:
        """
        Would all digests that are enforced hold if these were the last bytes?  False if there are none.

        What was given before has to be settled.  These are not taken, so others may still follow.
        """
        checks = [check for each, check in self._pairs if isinstance(each, Digest) and each.enforced]
        return bool(checks) and all(isinstance(check, Hashing) and _holds(check.copy(), last) for check in checks)

    def verify(self) -> tuple[Mapping[str, object], tuple[ValidationError, ...]]:
        """
        The end has come, and all is settled: the facts, and the mismatches that are only reported.

        @raise ValidationError: the first expectation that is enforced and did not hold.
        """
        facts: dict[str, object] = {}
        advisories: list[ValidationError] = []
        for expectation, check in self._pairs:
            if expectation is None:
                continue
            try:
                facts.update(check.verify())
            except ValidationError as error:
                if expectation.enforced:
                    raise
                advisories.append(error)
            except DownloadError:
                raise
            except Exception as error:
                raise _blamed(expectation, error) from error
        return facts, tuple(advisories)

    def drop(self) -> None:
        """This pass counts no more."""
        self._batch = []
        self.turned(True)
        if self._lane is not None:
            self._lane.drop()
        self._valve.release("checks")


def _holds(check: Hashing, last: Iterable[bytes]) -> bool:
    for data in last:
        check.update(data)
    try:
        check.verify()
    except ValidationError:
        return False
    return True


def _blamed(expectation: IExpectation | None, error: Exception) -> ConsumerFailed:
    """What a check raises is no place's fault, and another try does not change it."""
    return ConsumerFailed(f"a check of {type(expectation).__name__} raised {type(error).__name__}")
