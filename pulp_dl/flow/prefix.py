"""Reading again what the consumer has already: are they the same bytes?"""

from __future__ import annotations

from ..model.expect import Hashing

__all__ = ["Prefix"]


class Prefix:
    """
    The beginning of a body, known by its size and digest.

    @ivar size: how many bytes.
    @ivar left: how many of them the current body has still to show.
    """

    def __init__(self, size: int, algorithm: str, digest: bytes) -> None:
        self.size = size
        self._algorithm = algorithm
        self._digest = digest
        self.restart()

    def restart(self) -> None:
        """Another body begins at its beginning."""
        self.left = self.size
        self._hash = Hashing(self._algorithm, None)

    def compare(self, data: bytes) -> bool:
        """The next bytes of the beginning, no more than are C{left}.  False: it is at its end, and they are others."""
        self._hash.update(data)
        self.left -= len(data)
        return bool(self.left) or self._hash.so_far() == self._digest
