"""Makes the parts of a data set as Ray tasks: Ray schedules them, and this process notes what is finished."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import ray

from platform.run.ray.cluster import cluster
from platform.run.retries import RetryCounts
from trainables.datasets.prepared.parts import Part, Result, Results, RunParts
from trainables.failure import cause_of


@contextmanager
def parts_on_ray(address: str | None) -> Iterator[RunParts]:
    """Yield what makes parts on the cluster at `address`, or on one that is started on this machine.

    Every node must see the folders of the source and of the data set under the same paths.
    """
    with cluster(address):
        yield _run_parts


def _run_parts(make: Callable[[Part], Result], parts: Sequence[Part], /) -> Results[Result]:
    task = ray.remote(num_cpus=1, max_retries=0)(make)
    waiting, running, retries = iter(enumerate(parts)), dict[Any, int](), RetryCounts()
    try:
        while True:
            # A part may carry a table of all voxels: no more of them are sent than can soon begin.
            for index, part in islice(waiting, max(0, 2 * _cores() - len(running))):
                running[task.remote(part)] = index
            if not running:
                return
            (done, *_), _ = ray.wait(list(running))
            index = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayError as error:
                if not retries.allow(index, cause_of(error)):
                    raise
                running[task.remote(parts[index])] = index  # a part that was begun is written once more
            else:
                yield index, result
    finally:
        for left in running:
            ray.cancel(left, force=True)
        ray.wait(list(running), num_returns=len(running)) if running else None


def _cores() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
