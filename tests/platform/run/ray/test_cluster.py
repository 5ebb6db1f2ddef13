"""Connecting to Ray."""

import pytest
import ray

from platform.errors import StudyError
from platform.run.ray.cluster import cluster


@pytest.mark.parametrize(("address", "where"), [(None, "on this machine"), ("10.0.0.1:6379", "at 10.0.0.1:6379")])
def test_a_cluster_that_does_not_answer_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, address: str | None, where: str
) -> None:
    def fails(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(StudyError, match=rf"no Ray cluster {where}.*timed out.*tries again"), cluster(address):
        raise AssertionError("must not get here")
