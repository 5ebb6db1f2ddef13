"""Trials on Ray Tune: all slots are used, however short the trials are."""

from itertools import accumulate
from operator import attrgetter
from pathlib import Path

import pytest

from platform.events import Finished, Started
from platform.run.driver import run_study
from tests.platform.noop_studies import noop_study, options_in
from tests.platform.run.test_driver import events


@pytest.mark.long
@pytest.mark.usefixtures("ray_cluster")
def test_trials_shorter_than_the_start_of_a_worker_overlap(tmp_path: Path) -> None:
    """Tune ends a worker that is starting when another becomes free: such trials would run on one worker for ever."""
    study = noop_study(tmp_path, "sampler: random\ntrials: 10\nbase: {noop.sleep: 0.6}")
    run_study(study, options_in(tmp_path))
    steps = {Started: 1, Finished: -1}
    changes = [
        steps[type(event)] for event in sorted(events(study, tmp_path), key=attrgetter("time")) if type(event) in steps
    ]
    assert list(accumulate(changes)).count(2) >= 3, "two trials at a time were possible, but one ran"
