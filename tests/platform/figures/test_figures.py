"""Figures of made-up studies: what they show, and what they leave out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platform.figures import interactive, static
from platform.figures.axes import axis
from platform.figures.figure_data import StudyPlot, study_plot
from platform.figures.parameter_importance import importances
from platform.mlflow_view.summary import scales
from platform.record.results import Result, collect
from tests.platform.made_up_study import made_up_study, study_events

TARGET = made_up_study().targets[0]


def plot_of(results: Sequence[Result], *targets: str) -> StudyPlot:
    study = made_up_study(targets=targets if targets else (TARGET.name,))
    return study_plot(study.id, study.targets, results, kinds=scales(study))


def finished(trial: str, value: float | None, outcome: str = "COMPLETED", **values: object) -> Result:
    metrics = {} if value is None else {TARGET.name: value}
    number = int(trial[1:])
    return Result(trial, point=number, values=values, outcome=outcome, metrics=metrics, finished=number)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plot() -> StudyPlot:
    return plot_of(collect(study_events(trials=24)))


def legend(figure: object) -> set[str]:
    return {text.get_text() for one in figure.legends for text in one.get_texts()}  # type: ignore[attr-defined]


def test_every_figure_of_a_whole_study_is_a_picture(plot: StudyPlot, tmp_path: Path) -> None:
    files = static.draw_all(plot, tmp_path)
    assert [file.name for file in files] == ["history.png", "importance.png", "slices.png", "parallel.png"]
    for file in files:
        with Image.open(file) as picture:
            colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 20, f"{file.name} is all but empty"


def test_history_tells_outcomes_best_and_controls(plot: StudyPlot) -> None:
    figure = static.history(plot)
    assert figure is not None
    expected = {"completed", "stopped early", "failed", "best so far", "control: mean", "control: static"}
    assert legend(figure) == expected
    (panel,) = figure.axes
    line = next(line for line in panel.lines if line.get_label() == "best so far")
    assert np.asarray(line.get_ydata())[-1] == min(
        r.metrics[TARGET.name] for r in plot.trials if r.outcome == "COMPLETED"
    )
    assert panel.get_ylabel() == "motion.rollout_mse (lower is better)"


def test_slices_have_a_panel_per_field_with_its_scale(plot: StudyPlot) -> None:
    figure = static.slices(plot)
    assert figure is not None
    panels = {panel.get_xlabel(): panel for panel in figure.axes}
    assert set(panels) == set(plot.axes)
    assert panels["motion.train.lr"].get_xscale() == "log"
    assert [tick.get_text() for tick in panels["motion.patch_size"].get_xticklabels()] == ["1", "2", "4"]
    held = len([point for point in plot.points if "motion.heads" in point.values])
    dots = sum(len(np.asarray(dots.get_offsets())) for dots in panels["motion.heads"].collections)
    assert dots == held + 1, "a dot for each trial that has the field, and the ring around the best"


def test_parallel_lines_pass_below_axes_that_do_not_hold_for_them(plot: StudyPlot) -> None:
    figure = static.parallel(plot)
    assert figure is not None
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert "unset" in texts
    assert legend(figure) >= {"failed", "stopped early", "best: t0021"}


def test_importance_finds_what_decides(plot: StudyPlot) -> None:
    shares = importances(plot.points, TARGET, plot.axes)
    assert max(shares, key=shares.__getitem__) == "motion.mask_ratio"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert "motion.heads" not in shares, "a conditional field is missing in some trials"


@pytest.mark.parametrize("others", [1, 2])
def test_importance_is_not_asked_of_a_field_alone_nor_of_many_categories(
    others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ablation of 26 conditions is both; Optuna would go through 2^26 combinations, which takes hours."""
    monkeypatch.setattr("optuna.importance.get_param_importances", lambda *_, **__: pytest.fail("it was asked"))
    results = [finished(f"t{i}", 0.1 * i, condition=f"c{i:02}", subject=i % others) for i in range(26)]
    assert importances(results, TARGET, plot_of(results).axes) == {}


def test_several_targets_have_a_front_and_a_history_each() -> None:
    plot = plot_of(collect(study_events(trials=8)), "motion.rollout_mse", "structure.latent_mse")
    front, history = static.front(plot), static.history(plot)
    assert front is not None
    assert history is not None
    assert "beaten by no other" in legend(front)
    assert len(history.axes) == 2


@pytest.mark.parametrize(
    ("results", "made"),
    [
        ([], set()),
        ([finished("t0", None, "FAILED", a=1)], set()),
        ([Result("t0", values={"a": 1})], set()),
        ([finished("t0", 0.5, a=1)], {"history"}),
        ([finished("t0", 0.5, a=1), finished("t1", 0.6, a=1)], {"history"}),
        ([finished("t0", 0.5, a=1), finished("t1", 0.6, a=2)], {"history", "slices", "parallel"}),
        ([finished("t0", float("nan"), a=1), finished("t1", 0.6, a=2)], {"history", "slices"}),
        ([finished(f"t{i}", 0.5, a=i, b=i % 2) for i in range(6)], {"history", "slices", "parallel"}),
        ([finished(f"t{i}", i / 9, a=i / 7) for i in range(8)], {"history", "slices", "parallel"}),
        ([finished("t0", 0.5, a=True, b="x"), finished("t1", 0.6, a=False, b="y"), finished("t2", 0.7, a=True)],
         {"history", "slices", "parallel"}),
    ],
    ids=["nothing", "one failed", "unfinished", "one", "no field varies", "two", "one not finite", "all equal",
         "one parameter", "conditional words"],
)  # fmt: skip
def test_studies_that_say_little_get_few_figures(results: list[Result], made: set[str], tmp_path: Path) -> None:
    plot = study_plot("small", [TARGET], results)
    assert {file.stem for file in static.draw_all(plot, tmp_path)} == made
    assert interactive.page(plot).count("<h2>") == len(made)


def test_the_page_needs_no_network(plot: StudyPlot) -> None:
    page = interactive.page(plot)
    assert page.count("plotly.js v") == 1
    assert 'src="http' not in page
    assert "t0021: motion.patch_size = 1" in page.replace("\\u003d", "=")


def test_axes_judge_their_scale() -> None:
    wide = axis("x", [{"x": 10.0**-i} for i in range(8)])
    assert wide.kind == "log"
    assert wide.fraction({"x": 10.0**-3.5}) == pytest.approx(0.5)
    assert axis("x", [{"x": i} for i in range(8)]).kind == "linear"
    words = axis("x", [{"x": value} for value in (4, "b", 2, True, 10)])
    assert words.labels == ("2", "4", "10", "b", "true")
    assert words.position({"y": 1}) is None
    assert axis("x", [{"x": value} for value in (0.0, 1e-5, 1e-3)], kind="log").kind == "linear", "no log of 0"
