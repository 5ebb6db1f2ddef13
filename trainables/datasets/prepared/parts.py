"""How the parts of a data set are made: here, one after the other, or wherever a scheduler has room."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeAlias, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
Results: TypeAlias = Generator[tuple[int, Result], None, None]
"""Index and result of each part. Closed early, it leaves no part running."""


Advance: TypeAlias = Callable[[int], None]
"""Is called with the number of clips, of rows or of bytes that have just been written, read or sent."""


class RunParts(Protocol):
    """Makes parts. Their order of completion is open; what is made does not depend on it."""

    def __call__(self, make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
        """Call `make`, a function of a module, on each of `parts`; yield index and result as each is finished."""


def parts_here(make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
    """Make the parts in this process, one after the other."""
    for index, part in enumerate(parts):
        yield index, make(part)
