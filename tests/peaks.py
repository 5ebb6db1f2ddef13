"""The most memory that work holds at a time: what numpy, Python and torch allocate, counted and not sampled.

Resident memory would also count pages of mapped files, which the system takes back, and what allocators keep of the
memory that was freed. Not seen: buffers inside one call of a C library, gone when it returns, and tables of pyarrow.
"""

import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that operations make, until the last view of each is gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self._now = 0
        self._seen = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {} if kwargs is None else kwargs
        for storage in _storages((args, given)):  # made before, or mapped from a file
            self._seen[storage] = True
        result = function(*args, **given)
        for storage in _storages(result):
            self._count(storage)
        return result

    def _count(self, storage: Any) -> None:
        if storage in self._seen:
            return
        self._seen[storage] = True
        self._now += storage.nbytes()
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self._now -= size


def _storages(values: Any) -> Iterator[UntypedStorage]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor | UntypedStorage):
            yield leaf.untyped_storage() if isinstance(leaf, Tensor) else leaf


@contextmanager
def _traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that one call of `work` holds: the peak of Python and numpy, and that of torch, added."""
    with _LiveTensors():
        torch.zeros(1)  # the first operation under such a mode imports much
    tensors = _LiveTensors()
    with _traced(), tensors:
        work()
        return tracemalloc.get_traced_memory()[1] + tensors.most
