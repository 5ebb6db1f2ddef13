"""The report of made-up sweeps: what was found, how much is luck, early stopping, failures, cost; in every format."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from platform.analysis.follow_ups import confirmation
from platform.analysis.search_result import SearchResult
from platform.errors import UserError
from platform.record.trial_record import reduce_events
from platform.reporting import references
from platform.reporting.sweep_report import SweepReport, build_sweep_report, write_sweep_report
from platform.statistics.selection import luck_of_the_best
from platform.study.outcome_constraints import Bound, OutcomeConstraint
from platform.study.samplers import SAMPLERS
from platform.study.schedulers import SCHEDULERS
from tests.platform.made_up_study import made_up_study, study_events
from trainables.judging.protocols import PROTOCOLS
from trainables.metrics.registry import METRICS

TARGET = "motion.rollout_mse"


def search(*, trials: int = 12, repeats: int = 1, planned: int | None = None, **ends: int) -> SearchResult:
    study = made_up_study(trials=trials if planned is None else planned, repeats=repeats)
    events = study_events(trials=trials, repeats=repeats, **ends)
    return SearchResult(study, tuple(reduce_events(events).values()))


def report(result: SearchResult, *, followed_by: tuple[str, ...] = ()) -> SweepReport:
    return build_sweep_report(result, store="file:///store", followed_by=followed_by)


def texts(made: SweepReport) -> str:
    return "\n".join(text for _, text in made.conclusions)


def test_the_files_say_what_was_found_and_need_no_network(tmp_path: Path) -> None:
    result = search()
    page = write_sweep_report(report(result), tmp_path / "out").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|url\(|@import|https?://", page)
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    best = result.completed[0]
    found = f"t{best.point:04d}: motion: rollout mse {best.metrics[TARGET]:.4g}"
    assert f"The best of 9 completed points and 2 stopped early is {found}" in markdown
    assert "## Search space" in markdown
    assert "| motion.heads | choice [2, 4, 8] |" in markdown
    assert "| first frame held | 0.62 |" in markdown
    assert "| epoch 2 | 2 |" in markdown
    assert "59 of 120 epochs were trained (49%)." in markdown  # 9 x 6 to the end, 2 x 2 stopped, 1 failed at its first
    assert "ValueError: the loss is not finite" in markdown
    assert "## Importance of fields" in markdown
    assert re.search(r"Importance cannot be trusted: \d+ points for \d+ fields", markdown)
    assert "null line: 95 % of shuffled values" in markdown
    data = json.loads((tmp_path / "out" / "sweep.json").read_text(encoding="utf-8"))
    assert data["outcomes"] == {"completed": 9, "pruned": 2, "failed": 1, "unfinished": 0}
    assert data["stopped_at"] == {"2": 2}
    assert len(data["points"]) == 12
    assert (tmp_path / "out" / "report.tex").read_text(encoding="utf-8").count(r"\toprule") >= 4
    assert {path.suffix for path in (tmp_path / "out" / "figures").iterdir()} == {".svg"}


def test_a_best_point_that_controls_reach_is_said_to_be_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    result = search()
    assert "is not better" not in texts(report(result))
    value = result.completed[0].metrics[TARGET]
    levels = {"static": value - 0.01, "mean": value + 0.01, "ceiling": value - 0.3}
    monkeypatch.setattr("platform.reporting.sweep_text.controls", lambda *_: levels)
    reached = f"({value:.4g}) is not better than that of first frame held ({value - 0.01:.4g}), which knows nothing of"
    assert f"{reached} how a clip moves" in texts(report(result))


def test_one_training_per_point_orders_nothing(tmp_path: Path) -> None:
    made = report(search())
    assert "no point is shown to be better than another" in texts(made)
    assert "confirm it under fresh seeds: python -m platform.confirm cmg-1a2b3c4d" in texts(made)


def test_with_repeats_the_luck_of_the_best_is_a_number() -> None:
    result = search(repeats=3, pruned=0, failed=0)
    by_point: dict[int, list[float]] = {point.point: [] for point in result.completed}
    for trial in result.trials:
        by_point[trial.point].append(trial.metrics[TARGET])
    values = np.array(list(by_point.values()))
    luck = luck_of_the_best(values)
    assert f"would make the best look {luck:.3g}"[:-1] in texts(report(result))
    first_row = report(result).sections[0].grids[0].rows[0]
    assert first_row[1].small == (f"± {values[0].std(ddof=1):.2g}",)


def test_a_confirmation_takes_the_place_of_the_advice() -> None:
    made = report(search(), followed_by=("cmg-confirm", "cmg-apart"))
    assert "Its best points are confirmed under fresh seeds in the ablation cmg-confirm" in texts(made)
    assert "Its best point is taken apart in the ablation cmg-apart" in texts(made)
    assert "platform.confirm" not in texts(made)


def test_an_unfinished_and_an_empty_search_are_said_to_be(tmp_path: Path) -> None:
    assert report(search(trials=5, planned=12)).alerts[0] == "Not finished: 5 of 12 points have ended."
    nothing = report(SearchResult(made_up_study(), ()))
    assert "No point has completed" in texts(nothing)
    page = write_sweep_report(nothing, tmp_path / "out")
    assert "Importance" in page.read_text(encoding="utf-8")


def test_one_point_is_not_the_best_of_anything() -> None:
    made = report(search(trials=1, pruned=0, failed=0))
    assert "Only one point was tried, so none was chosen." in texts(made)
    assert "probably better than what its config gives again" not in texts(made)


def test_several_targets_have_a_front() -> None:
    study = made_up_study(targets=(TARGET, "motion.teacher_forced_mse"))
    made = report(SearchResult(study, tuple(reduce_events(study_events()).values())))
    assert "Pareto front of 9 completed points" in texts(made)
    assert made.sections[0].grids[0].rows[0][0].text.endswith("●")
    assert "--target motion.rollout_mse" in texts(made)


def bounded(at_least: float) -> SearchResult:
    made = search()
    bound = OutcomeConstraint(METRICS[TARGET], Bound(at_least=at_least))
    return replace(made, study=replace(made.study, outcome_constraints=(bound,)))


def test_the_best_point_is_the_best_of_those_that_satisfy_the_outcome_constraints() -> None:
    values = sorted(point.metrics[TARGET] for point in search().completed)
    made = report(bounded(values[3]))
    assert f"motion: rollout mse {values[3]:.4g}" in texts(made)
    assert f"6 of 9 completed points satisfy {TARGET} >= {values[3]:g}" in texts(made)
    assert "may violate it under other seeds or clips" in texts(made)
    grid = made.sections[0].grids[0]
    marked = ["✗" in row[2].text for row in grid.rows[:9]]
    assert marked == [False] * 6 + [True] * 3
    assert grid.header[2] == f"{TARGET} >= {values[3]:g}"
    assert f"Only points with {TARGET} >= {values[3]:g} could be chosen." in made.methods


def test_a_search_without_an_allowed_point_has_no_best() -> None:
    made = report(bounded(1e6))
    assert f"None of 9 completed points satisfies {TARGET} >= 1e+06: there is no best point." in texts(made)
    with pytest.raises(UserError, match="none of the 9 completed points of cmg-1a2b3c4d satisfies"):
        confirmation(bounded(1e6), METRICS[TARGET], top=3, against="default")


def only_stopped(field: str, value: object) -> SearchResult:
    """Return a search in which every point with this value was stopped early, and no other."""
    made = search(pruned=0, failed=0)
    points = {point.trial for point in made.points if point.values[field] == value}
    for record in made.records:
        assert record.finished is not None
        if record.trial in points:
            record.finished = replace(record.finished, outcome="PRUNED", step=2)
    return replace(made)  # without what it has kept


def test_a_value_that_was_never_trained_to_the_end_is_named(tmp_path: Path) -> None:
    result = only_stopped("motion.patch_size", 4)
    write_sweep_report(report(result), tmp_path)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    stopped = sum(point.values["motion.patch_size"] == 4 for point in result.points)
    assert stopped > 1
    assert "No point with motion.patch_size 4 was trained to the end: what it can reach is not known." in markdown
    assert f"4 ({stopped})" in markdown, "how many points had it"
    assert f"{stopped} of the 12 points count with their last value, which they had after fewer epochs" in markdown
    write_sweep_report(report(search(pruned=0, failed=0)), tmp_path)
    unstopped = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "was trained to the end" not in unstopped
    assert "last value" not in unstopped


def test_the_methods_have_the_numbers_that_a_reviewer_asks_for() -> None:
    code = {"git.commit": "abc123", "git.dirty": "true", "version.torch": "2.13.0", "version.optuna": "5.0.0"}
    made = report(replace(search(), code=code))
    assert "on 120 validation clips" in made.methods
    assert "each trained under 1 seed for 10 epochs (12 trials:" in made.methods
    assert made.methods.endswith("Software: PyTorch 2.13.0, Optuna 5.0.0.")
    assert {("commit", "abc123"), ("uncommitted changes", "true")} < set(made.provenance)


def test_the_heading_of_a_section_comes_before_its_first_sentence(tmp_path: Path) -> None:
    write_sweep_report(report(search()), tmp_path)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert markdown.index("## Cost") < markdown.index("trials that were stopped early, which took")
    assert markdown.count("## Cost") == 1


def test_what_was_used_is_cited(tmp_path: Path) -> None:
    made = report(search())
    assert [text.partition(" ")[0] for text in made.references] == ["Akiba,", "Bergstra,", "Liaw", "Watanabe,"]
    page = write_sweep_report(made, tmp_path).read_text(encoding="utf-8")
    assert "Bergstra, Bardenet" in page
    assert "Bergstra, Bardenet" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_every_publication_has_a_use_and_every_use_a_publication() -> None:
    lines = Path(references.__file__).with_name("publications.txt").read_text(encoding="utf-8").splitlines()
    keys = [line.partition(": ")[0] for line in lines]
    source = Path(references.__file__).read_text(encoding="utf-8")
    assert keys == sorted(set(keys))
    assert set(re.findall(r'"([a-z]+\d{4})"', source)) == set(keys)
    assert set(SAMPLERS) - {"grid"} == set(references._SAMPLERS)
    assert set(SCHEDULERS) - {"fifo"} == set(references._SCHEDULERS)
    assert set(PROTOCOLS) - {"mindsweep-1"} == set(references._PROTOCOLS)


def test_a_target_with_one_value_orders_nothing() -> None:
    made = search(pruned=0, failed=0)
    assert not any("saturated" in text for text in report(made).alerts)
    for record in made.records:
        assert record.finished is not None
        record.finished = replace(record.finished, metrics={**record.finished.metrics, TARGET: 1.0})
    (warning,) = report(replace(made)).alerts
    assert warning.startswith("motion.rollout_mse is 1 in all 12 completed points: it is saturated, or no field")
    assert warning.endswith("Metrics that differ: motion.teacher_forced_mse and structure.latent_mse.")
