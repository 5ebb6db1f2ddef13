"""`stop`: a search ends at a target, without progress, or after its hours; and the samplers `auto`, `qmc`, `nsga3`."""

from itertools import pairwise
from pathlib import Path

import pytest

from platform.record.trial_log import Records
from platform.run.stop_rule import StopRule
from platform.study.samplers import auto_sampler
from platform.study.study import Study
from tests.platform.noop_studies import dispatcher, noop_study, play
from tests.platform.study_texts import NOOP, build, complaints

GRID = "space: {noop.value: {choice: [0.9, 0.7, 0.3, 0.1, 0.5, 0.2, 0.8]}}"
"""`play` gives each point the square of its distance from 0.3."""
POINTS = "points: [{noop.value: 0.9}, {noop.value: 0.7}, {noop.value: 0.3}, {noop.value: 0.1}, {noop.value: 0.5}]"


def tried(folder: Path, stop: str) -> tuple[list[float], str | None]:
    """Return the values that a sweep of at most seven points tries, and why it tries no more."""
    study = noop_study(folder, f"trials: 7\nsampler: random\n{POINTS}\nstop: {stop}", space=GRID)
    running, _ = dispatcher(study, [], folder)
    values = [trial["value"] for trial in play(running, 7)]
    return values, running.exhausted


def test_a_search_ends_when_a_point_reaches_the_target(tmp_path: Path) -> None:
    values, reason = tried(tmp_path, "{target: 0.01}")
    assert values == [0.9, 0.7, 0.3]
    assert reason == "stop: a point has reached 0.01 (noop.value 0)"


def test_a_search_ends_without_progress(tmp_path: Path) -> None:
    values, reason = tried(tmp_path, "{no_better_in: 2}")
    assert values == [0.9, 0.7, 0.3, 0.1, 0.5]
    assert reason == "stop: no better point in 2"


def test_without_a_rule_all_points_are_tried(tmp_path: Path) -> None:
    values, reason = tried(tmp_path, "{target: -1}")
    assert (len(values), reason) == (7, None)


def test_a_search_ends_after_its_hours(tmp_path: Path) -> None:
    study, now = noop_study(tmp_path, "trials: 7\nstop: {hours: 0.5}"), [100.0]
    rule = StopRule(study, Records(study), clock=lambda: now[0])
    assert rule.reason is None
    now[0] += 1799.0
    assert rule.reason is None
    now[0] += 1.0
    assert rule.reason == "stop: 0.5 hours are over"


def test_the_rule_goes_on_from_the_records(tmp_path: Path) -> None:
    study = noop_study(tmp_path, f"trials: 7\nsampler: random\n{POINTS}\nstop: {{no_better_in: 2}}", space=GRID)
    running, heard = dispatcher(study, [], tmp_path)
    assert len(list(play(running, 4))) == 4
    again, _ = dispatcher(study, heard.events, tmp_path)
    assert [trial["value"] for trial in play(again, 7)] == [0.5]
    assert again.exhausted == "stop: no better point in 2"


def test_the_rule_is_no_part_of_the_definition() -> None:
    assert build(f"{NOOP}stop: {{hours: 3}}\n").id == build(NOOP).id
    assert build(NOOP, "stop={target: 0.1, hours: 2}").headline()["stop"] == "after 2 hours or at 0.1"


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ("{}", "names no rule; set hours, target or no_better_in"),
        ("{hours: 0}", "stop.hours"),
        ("{hour: 1}", "did you mean hours?"),
        ("{no_better_in: 0}", "stop.no_better_in"),
        ("3", "stop"),
    ],
)
def test_a_wrong_rule_is_refused(stop: str, message: str) -> None:
    assert message in "\n".join(complaints(f"{NOOP}stop: {stop}\n"))


def test_a_target_to_reach_needs_one_target() -> None:
    text = (
        "target: [motion.rollout_mse, motion.teacher_forced_mse]\ntrials: 3\nspace: {motion.depth: {int: [1, 3]}}\n"
        "stop: {target: 0.4}\n"
    )
    assert complaints(text) == ["test.yaml:4:8: stop.target: needs one target, but there are 2; use hours"]


@pytest.mark.parametrize(
    ("targets", "early_stopping", "conditional", "sampler"),
    [
        (1, False, False, "gp"),
        (1, True, False, "tpe"),
        (1, False, True, "tpe"),
        (2, False, False, "tpe"),
        (4, False, False, "nsga3"),
    ],
)
def test_auto_follows_the_structure_of_the_study(
    targets: int, early_stopping: bool, conditional: bool, sampler: str
) -> None:
    assert auto_sampler(targets=targets, early_stopping=early_stopping, conditional=conditional)[0] == sampler


def test_auto_is_resolved_when_the_file_is_read_and_said() -> None:
    study = build(f"{NOOP}sampler: auto\n")
    assert study.sampler == "gp"
    assert study.notes == ("sampler auto: gp (one target, no conditional field, no early stopping)",)
    assert study.id == build(f"{NOOP}sampler: gp\n").id
    assert build(f"{NOOP}sampler: auto\nscheduler: {{asha: {{}}}}\n").sampler == "tpe"


def test_qmc_needs_ranges() -> None:
    text = NOOP.replace("{uniform: [0, 1]}", "{choice: [0, 1]}")
    assert "qmc supports only numeric ranges" in complaints(f"{text}sampler: qmc\n")[0]


def _values(study: Study, folder: Path, count: int) -> list[float]:
    running, _ = dispatcher(study, [], folder)
    return [trial["value"] for trial in play(running, count)]


def test_qmc_is_more_even_than_random_draws(tmp_path: Path) -> None:
    def gaps(sampler: str) -> float:
        study = noop_study(tmp_path, f"trials: 17\nsampler: {sampler}")
        values = sorted(_values(study, tmp_path, 17))
        return max(b - a for a, b in pairwise(values))

    assert gaps("qmc") < 0.13 < gaps("random")


@pytest.mark.parametrize("sampler", ["qmc", "nsga3"])
def test_an_interrupted_search_proposes_the_same_points(sampler: str, tmp_path: Path) -> None:
    study = noop_study(tmp_path, f"trials: 8\nsampler: {sampler}")
    whole = _values(study, tmp_path, 8)
    running, heard = dispatcher(study, [], tmp_path)
    first = [trial["value"] for trial in play(running, 3)]
    again, _ = dispatcher(study, heard.events, tmp_path)
    assert [*first, *(trial["value"] for trial in play(again, 8))] == whole
