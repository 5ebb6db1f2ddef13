"""Fixtures that several test folders use."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """Start Ray once for the session, with two CPUs, and return its address; the driver uses it and leaves it alone."""
    import ray

    from platform.running.tune import SETTINGS

    os.environ.update(SETTINGS)
    folder = tempfile.mkdtemp(prefix="mindsweep-test-")  # short: the paths of sockets have at most 107 characters
    try:
        ray.init(
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=folder,
            logging_level=logging.ERROR,
        )
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
