"""What the checks of a body have seen of it so far: can be copied, and continued with other bytes than the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ValidationError
from ..interfaces import ICheck, ICopyableCheck, IExpectation
from ..model.expect import Hashing

__all__ = ["Seen"]


class Seen:
    """
    One pass of the expectations of a body, in the reactor thread.

    @ivar complete: False: some expectation has a check that cannot be copied, so C{verify} would not be the verdict.
    @ivar enforced: something is expected that the body may not fail.
    """

    def __init__(self, expectations: Iterable[IExpectation]) -> None:
        self.complete = True
        self.enforced = False
        self._pairs: list[tuple[IExpectation | None, ICopyableCheck]] = []
        for each in expectations:
            self.enforced = self.enforced or each.enforced
            check: ICheck = each.start()
            if ICopyableCheck.providedBy(check):
                self._pairs.append((each, check))
            else:
                self.complete = False
        if not any(isinstance(check, Hashing) for _, check in self._pairs):
            self._pairs.append((None, Hashing("sha256", None)))

    def copy(self) -> Seen:
        """Another one, which has seen the same."""
        other = Seen(())
        other.complete, other.enforced = self.complete, self.enforced
        other._pairs = [(each, check.copy()) for each, check in self._pairs]
        return other

    def update(self, data: bytes) -> None:
        """The next bytes."""
        for _, check in self._pairs:
            check.update(data)

    def so_far(self) -> tuple[str, bytes]:
        """Algorithm and digest of the bytes so far."""
        check = next(check for _, check in self._pairs if isinstance(check, Hashing))
        return check.algorithm, check.so_far()

    def verify(self) -> tuple[Mapping[str, object], tuple[ValidationError, ...]]:
        """
        The end has come: the facts, and the mismatches that are only reported.

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
        return facts, tuple(advisories)
