"""Figures of made-up studies: what they show, and what they leave out."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plotly.graph_objects import Figure

from platform.figures import page, png
from platform.figures.importance import importances, why_none
from platform.figures.optuna_plots import draw_plots
from platform.figures.study_data import StudyData
from platform.record.results import Result, results_from_events
from platform.study.domains import AnyDomain, Choice, Uniform
from tests.platform.made_up_study import DOMAINS, made_up_study, study_events
from trainables.metrics.registry import METRICS

TARGET = made_up_study().targets[0]


def data_of(*targets: str, **events: int) -> StudyData:
    study = made_up_study(targets=targets if targets else (TARGET.name,))
    return StudyData(study.id, study.targets, DOMAINS, results_from_events(study_events(**events)))


def small(results: Sequence[Result]) -> StudyData:
    """Return a study of `results`, with a field for every value: a choice of those that occur."""
    names = dict.fromkeys(name for result in results for name in result.values)
    taken = {name: [result.values[name] for result in results if name in result.values] for name in names}
    domains: Mapping[str, AnyDomain] = {name: Choice(choice=tuple(dict.fromkeys(v))) for name, v in taken.items()}
    return StudyData("small", [TARGET], domains, results)


def finished(trial: str, value: float | None, outcome: str = "COMPLETED", **values: object) -> Result:
    metrics = {} if value is None else {TARGET.name: value}
    number = int(trial[1:])
    return Result(trial, point=number, values=values, outcome=outcome, metrics=metrics, finished=number)  # type: ignore[arg-type]


def drawn(data: StudyData) -> dict[str, Figure]:
    return {each.name: each.figure for each in draw_plots(data)}


def traces(figure: Figure, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def legend(figure: Figure) -> set[str]:
    """Return the legend of the picture, which must be that of the page."""
    picture = png.draw_png(figure, title="", subtitle="")
    return {text.get_text() for each in picture.legends for text in each.get_texts()}


@pytest.fixture(scope="module")
def data() -> StudyData:
    return data_of(trials=24)


@pytest.fixture(scope="module")
def figures(data: StudyData) -> dict[str, Figure]:
    return drawn(data)


@pytest.mark.long
def test_every_figure_of_a_whole_study_is_a_picture_and_on_the_page(data: StudyData, tmp_path: Path) -> None:
    page.write(data, page=tmp_path / "figures.html", pictures=tmp_path)
    files = sorted(tmp_path.glob("*.png"))
    assert [file.stem for file in files] == ["history", "importance", "pairs", "parallel", "slices", "timeline"]
    for file in files:
        with Image.open(file) as picture:
            colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 20, f"{file.name} is all but empty"
    html = (tmp_path / "figures.html").read_text()
    assert html.count("<h2>") == len(files)
    assert html.count("plotly.js v") == 1
    assert 'src="http' not in html, "the page needs no network"
    assert "t0021: motion.patch_size = 1" in html.replace("\\u003d", "=")


def test_history_tells_outcomes_best_and_controls(data: StudyData, figures: dict[str, Figure]) -> None:
    figure = figures["history"]
    expected = {"completed", "stopped early", "failed", "best so far", "control: mean", "control: static"}
    assert legend(figure) == expected
    values = {result.trial: result.metrics.get(TARGET.name) for result in data.trials}
    (best,) = traces(figure, "best so far")
    assert best.y[-1] == min(r.metrics[TARGET.name] for r in data.trials if r.outcome == "COMPLETED")
    (stopped,) = traces(figure, "stopped early")
    assert list(stopped.y) == [values["t0003"], values["t0005"]], "the last value of a point that was stopped"
    (failed,) = traces(figure, "failed")
    assert failed.y[0] > max(value for value in values.values() if value is not None)
    (control,) = traces(figure, "control: static")
    assert set(control.y) == {0.62}
    assert figure.layout.yaxis.title.text == "motion.rollout_mse (lower is better)"
    assert figure.layout.xaxis.title.text == "trials ended"
    ended = [x for name in ("completed", "stopped early", "failed") for x in traces(figure, name)[0].x]
    assert sorted(ended) == list(range(1, 25))


def test_a_point_is_the_mean_of_its_repeats() -> None:
    data = data_of(trials=6, repeats=3)
    figure = drawn(data)["history"]
    assert figure.layout.xaxis.title.text == "points ended (means of 3 seeds)"
    (completed,) = traces(figure, "completed")
    of_first = [result.metrics[TARGET.name] for result in data.trials if result.point == 0]
    assert completed.y[0] == pytest.approx(np.mean(of_first))


def test_slices_have_a_panel_per_field_with_its_scale(data: StudyData, figures: dict[str, Figure]) -> None:
    figure = figures["slices"]
    picture = png.draw_png(figure, title="", subtitle="")
    panels = {panel.get_xlabel(): panel for panel in picture.axes}
    assert set(panels) == set(DOMAINS)
    assert panels["motion.train.lr"].get_xscale() == "log"
    assert [tick.get_text() for tick in panels["motion.patch_size"].get_xticklabels()] == ["1", "2", "4"]
    words = [tick.get_text() for tick in panels["motion.spatial_fusion"].get_xticklabels()]
    assert words == ["cross", "self", "adaln"], "in the order of the search space"
    held = len([point for point in data.points if "motion.heads" in point.values])
    dots = sum(len(np.asarray(dots.get_offsets())) for dots in panels["motion.heads"].collections)
    assert dots == held + 1, "a dot for each trial that has the field, and the ring around the best"
    assert legend(figure) == {"completed", "stopped early", "failed", "best: t0021"}


def test_parallel_axes_tell_what_is_unset_and_which_line_is_best(data: StudyData, figures: dict[str, Figure]) -> None:
    figure = figures["parallel"]
    assert "unset" in {text.text for text in figure.layout.annotations}
    assert legend(figure) >= {"stopped early", "best: t0021"}
    assert "motion.<br>spatial_fusion" in figure.layout.xaxis.ticktext, "names in full"
    (best,) = traces(figure, "best: t0021")
    assert data.best is not None
    shown = dict(best.customdata)
    assert shown["motion.depth"] == str(data.best.values["motion.depth"])


def test_timeline_has_a_bar_per_trial_with_how_it_ended(data: StudyData, figures: dict[str, Figure]) -> None:
    bars = {trace.name: list(trace.y) for trace in figures["timeline"].data}
    assert bars["failed"] == [4]
    assert bars["stopped early"] == [3, 5]
    assert sum(map(len, bars.values())) == 24
    (failed,) = traces(figures["timeline"], "failed")
    assert failed.x[0] == pytest.approx(1000 * data.trials[4].seconds)


def test_importance_finds_what_decides(data: StudyData) -> None:
    shares = importances(data, TARGET)
    assert next(iter(shares)) == "motion.mask_ratio"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) == set(DOMAINS), "a conditional field too, which is missing in some trials"


def test_importance_sees_a_conditional_field_that_decides() -> None:
    draws = random.Random(0)
    domains: Mapping[str, AnyDomain] = {
        "a": Choice(choice=("x", "y")),
        "b": Uniform(uniform=(0.0, 1.0), when={"a": ("y",)}),
        "c": Uniform(uniform=(0.0, 1.0)),
    }
    results = []
    for index in range(80):
        values: dict[str, Any] = {"a": draws.choice("xy"), "c": draws.random()}
        if values["a"] == "y":
            values["b"] = draws.random()
        results.append(finished(f"t{index:02}", values.get("b", 0.5) + 0.01 * values["c"], **values))
    shares = importances(StudyData("conditional", [TARGET], domains, results), TARGET)
    assert shares["b"] > shares["c"]
    assert max(shares, key=shares.__getitem__) == "b"


def test_importance_takes_a_field_of_many_categories() -> None:
    """An ablation of 26 conditions; fANOVA would go through 2^26 combinations, which takes hours."""
    results = [finished(f"t{i}", 0.1 * (i % 26), condition=f"c{i % 26:02}", subject=i // 26) for i in range(52)]
    assert next(iter(importances(small(results), TARGET))) == "condition"


def test_importance_is_not_asked_of_a_field_alone_nor_of_one_point() -> None:
    alone = small([finished(f"t{i}", 0.1 * i, condition=f"c{i:02}") for i in range(26)])
    one = small([finished("t0", 0.1, a=0, b=0)])
    same = small([finished(f"t{i}", 0.1, a=i, b=i % 2) for i in range(3)])
    for data, reason in (
        (alone, "Parameter importance compares fields, but fewer than two vary."),
        (one, f"Parameter importance needs 2 points with a value of {TARGET.name}; there are 1."),
        (same, f"Parameter importance is undefined: all points have the same {TARGET.name}."),
    ):
        assert importances(data, TARGET) == {}
        assert "importance" not in drawn(data)
        assert why_none(data, TARGET) == reason
        assert f"<p>{reason}</p>" in page.html(data, [])


def test_several_targets_have_a_front_and_a_history_each() -> None:
    figures = drawn(data_of("motion.rollout_mse", "structure.latent_mse", trials=8))
    assert {"history.motion.rollout_mse", "history.structure.latent_mse", "pareto", "parallel"} <= set(figures)
    assert "Pareto front" in legend(figures["pareto"])
    (front,) = traces(figures["pareto"], "Pareto front")
    assert front.text
    assert figures["pareto"].layout.yaxis.title.text == "structure.latent_mse (lower is better)"
    names = [text.replace("<br>", "") for text in figures["parallel"].layout.xaxis.ticktext]
    assert names[:2] == ["motion.rollout_mse(lower is better)", "structure.latent_mse(lower is better)"]


def test_the_best_of_a_target_to_maximise_is_the_highest() -> None:
    target = next(metric for metric in METRICS.values() if metric.goal == "max")
    results = [
        Result(f"t{i}", point=i, values={"a": i}, outcome="COMPLETED", metrics={target.name: value}, finished=i)
        for i, value in enumerate((0.1, 0.4, 0.2))
    ]
    figures = drawn(StudyData("max", [target], {"a": Choice(choice=(0, 1, 2))}, results))
    (best,) = traces(figures["history"], "best so far")
    assert list(best.y) == [0.1, 0.4, 0.4]
    (line,) = traces(figures["parallel"], "best: t1")
    assert line.y[0] == 1.0


@pytest.mark.long
@pytest.mark.parametrize(
    ("results", "made"),
    [
        ([], set()),
        ([finished("t0", None, "FAILED", a=1)], set()),
        ([Result("t0", values={"a": 1})], set()),
        ([finished("t0", 0.5, a=1)], {"history"}),
        ([finished("t0", 0.5, "PRUNED", a=1)], {"history"}),
        ([finished("t0", 0.5, a=1), finished("t1", 0.6, a=1)], {"history", "timeline"}),
        ([finished("t0", 0.5, a=1), finished("t1", 0.6, a=2)], {"history", "slices", "parallel", "timeline"}),
        ([finished("t0", float("nan"), a=1), finished("t1", 0.6, a=2)], {"history", "timeline"}),
        ([finished(f"t{i}", 0.5, a=i, b=i % 2) for i in range(6)], {"history", "slices", "parallel", "timeline"}),
        ([finished(f"t{i}", i / 9, a=i / 7) for i in range(12)], {"history", "slices", "parallel", "timeline"}),
        ([finished("t0", 0.5, a=True, b="x"), finished("t1", 0.6, a=False, b="y"), finished("t2", 0.7, a=True)],
         {"history", "importance", "slices", "parallel", "timeline"}),
    ],
    ids=["nothing", "one failed", "unfinished", "one", "one stopped early", "no field varies", "two",
         "one not finite", "all equal", "one parameter", "conditional words"],
)  # fmt: skip
def test_studies_that_say_little_get_few_figures(results: list[Result], made: set[str], tmp_path: Path) -> None:
    data = small(results)
    page.write(data, page=tmp_path / "figures.html", pictures=tmp_path)
    assert {file.stem for file in tmp_path.glob("*.png")} == made
    assert (tmp_path / "figures.html").read_text().count("<h2>") == len(made)
