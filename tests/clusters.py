"""Fixtures that several test folders use."""

import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator

import pytest

CPUS = 2
COMMAND = "tests of Mindsweep"
"""What Ray's job table shows of the tests' process."""
PREFIX = "mindsweep-test-"
"""Of the folder of the tests' cluster."""
_PATIENCE = 10.0
"""Seconds in which an ended test's reservations are given back."""


class LocalRay:
    """A Ray cluster of this process, with two CPUs: started when it is first needed."""

    def __init__(self) -> None:
        self._folder: str | None = None

    def address(self) -> str:
        """Return the address of a cluster all of whose CPUs are free.

        Ray 2.60 was seen to count the CPU of a killed driver's or worker's actor as taken for good, with no actor, task
        or placement group alive: two-worker trials of later tests then wait for ever. Such a cluster is replaced.
        """
        import ray

        if self._folder is not None and not self._is_free():
            warnings.warn("Ray lost a CPU of the tests' cluster; it is replaced", stacklevel=2)
            self.stop()
        if self._folder is None:
            self._start()
        return str(ray.get_runtime_context().gcs_address)

    def stop(self) -> None:
        """End the cluster, if there is one."""
        import ray

        if self._folder is not None:
            ray.shutdown()
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _start(self) -> None:
        from platform.run.ray.cluster import SETTINGS
        from trainables.ray_internals.core import show_as_command, start_cluster

        os.environ.update(SETTINGS)
        show_as_command(COMMAND)
        self._folder = tempfile.mkdtemp(prefix=PREFIX)  # short: paths of sockets have at most 107 characters
        start_cluster(
            self._folder,
            num_cpus=CPUS,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    def _is_free(self) -> bool:
        import ray

        end = time.monotonic() + _PATIENCE
        while ray.available_resources().get("CPU", 0) < CPUS:  # type: ignore[no-untyped-call]
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True


@pytest.fixture(scope="session")
def local_ray() -> Iterator[LocalRay]:
    """The cluster that all tests share."""
    cluster = LocalRay()
    yield cluster
    cluster.stop()


@pytest.fixture
def ray_cluster(local_ray: LocalRay) -> str:
    """Return the address of the session's Ray cluster with two free CPUs; the driver uses it and leaves it alone."""
    return local_ray.address()
