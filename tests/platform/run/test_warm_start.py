"""`start_from`: a sweep that is given the results of an earlier one, only where it would measure the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform.errors import UserError
from platform.record.study_from_store import recorded_study
from platform.record.warm_start import with_earlier_results, with_source_named
from platform.resume import main as resume
from platform.run.driver import run_study
from platform.run.proposer import Proposer
from platform.study.study import Study
from platform.study.sweep_file import load_study
from platform.sweep import main
from storage.base import Store
from storage.studies import load_calls
from storage.uri import open_store
from tests.platform.noop_studies import inline_in, noop_study
from trainables.stage_table import STAGES

CHOICES = "space: {noop.value: {choice: [0.9, 0.7, 0.3, 0.1]}, noop.epochs: {choice: [1, 2]}}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return the store with the sweep `early`: four points, values .9, .7, .3 and .1 at one epoch."""
    values = ", ".join(f"{{noop.value: {value}, noop.epochs: 1}}" for value in (0.9, 0.7, 0.3, 0.1))
    early = noop_study(tmp_path, f"trials: 4\nsampler: random\npoints: [{values}]", space=CHOICES, name="early")
    run_study(early, inline_in(tmp_path))
    return open_store((tmp_path / "store").as_uri())


def started(folder: Path, store: Store, text: str = "", *, space: str = CHOICES, name: str = "late") -> Study:
    study = noop_study(folder, f"trials: 3\nsampler: tpe\nstart_from: early\n{text}", space=space, name=name)
    return with_earlier_results(with_source_named(study, store), store)


def taken(study: Study) -> list[dict[str, Any]]:
    assert study.start_from is not None
    assert study.start_from.points is not None
    return [point.values for point in study.start_from.points]


def test_results_are_given_to_the_sampler_and_their_points_are_not_tried_again(tmp_path: Path, store: Store) -> None:
    study = started(tmp_path, store)
    assert [values["noop.value"] for values in taken(study)] == [0.9, 0.7, 0.3, 0.1]
    proposer = Proposer(study)
    proposed = [proposal.values for _ in range(3) if (proposal := proposer.ask()) is not None]
    assert len(proposed) == 3
    assert all(values["noop.epochs"] == 2 for values in proposed)


def test_a_sampler_learns_from_them(tmp_path: Path) -> None:
    space = "space: {noop.value: {uniform: [0.0, 1.0]}}"
    early = noop_study(tmp_path, "trials: 30\nsampler: random", space=space, name="early")
    run_study(early, inline_in(tmp_path))
    store = open_store((tmp_path / "store").as_uri())
    warm = Proposer(started(tmp_path, store, "seed: 1", space=space))
    cold = Proposer(noop_study(tmp_path, "trials: 3\nsampler: tpe\nseed: 1", space=space, name="cold"))
    first = [proposal.values["noop.value"] for each in (warm, cold) if (proposal := each.ask()) is not None]
    assert first[0] < 0.15 < first[1]  # the smallest value is the best; the first of TPE's own draws are random


def test_a_point_that_the_file_lists_is_tried_again(tmp_path: Path, store: Store) -> None:
    proposer = Proposer(started(tmp_path, store, "points: [{noop.value: 0.1, noop.epochs: 1}]"))
    proposal = proposer.ask()
    assert proposal is not None
    assert proposal.values == {"noop.value": 0.1, "noop.epochs": 1}


def test_points_outside_of_the_new_space_are_left_out(tmp_path: Path, store: Store) -> None:
    study = started(tmp_path, store, space="space: {noop.value: {uniform: [0.2, 0.8]}}")
    assert taken(study) == [{"noop.value": 0.7}, {"noop.value": 0.3}]
    assert study.headline()["start from"].endswith("(2 points, 2 outside of this space left out)")


def test_a_field_that_was_swept_there_and_is_fixed_here_leaves_points_out(tmp_path: Path, store: Store) -> None:
    text = "base: {noop.epochs: 2}"
    with pytest.raises(UserError, match="none of its 4 completed points lies in this search space"):
        started(tmp_path, store, text, space="space: {noop.value: {uniform: [0.0, 1.0]}}")


def test_another_setting_is_refused_with_its_values(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UserError, match=r"it differs in noop\.fail_at \(there 0, here 7\)") as caught:
        started(tmp_path, store, "base: {noop.fail_at: 7}")
    assert "list them under `points`" in str(caught.value)


def test_another_target_is_refused(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "late.yaml"
    text = "target: motion.rollout_mse\ntrials: 2\nspace: {motion.depth: {int: [1, 3]}}\nstart_from: early\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"its trials have no motion\.rollout_mse, the target here"):
        with_earlier_results(with_source_named(load_study(path), store), store)


def test_another_version_of_the_stage_is_refused(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES._built_in, "noop", replace(STAGES["noop"], version=99))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="since then the code of noop or of a stage before it, or the data, changed"):
        started(tmp_path, store)


def test_unknown_and_unfinished_sweeps_are_refused(tmp_path: Path, store: Store) -> None:
    study = noop_study(tmp_path, "trials: 3\nstart_from: erly", name="late")
    with pytest.raises(UserError, match=r"late\.yaml: start_from: .*did you mean early\?"):
        with_source_named(study, store)
    empty = noop_study(tmp_path, "trials: 1\nbase: {noop.fail_at: 1}", name="empty")
    run_study(empty, inline_in(tmp_path))
    study = noop_study(tmp_path, "trials: 3\nstart_from: empty", name="late")
    with pytest.raises(UserError, match="it has no completed point"):
        with_earlier_results(with_source_named(study, store), store)


def test_samplers_that_cannot_use_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="random cannot use the results of another sweep; use one of: tpe, gp;"):
        noop_study(tmp_path, "trials: 3\nsampler: random\nstart_from: early")


def test_it_is_part_of_the_study_and_later_results_change_nothing(tmp_path: Path, store: Store) -> None:
    study = started(tmp_path, store)
    assert study.id != noop_study(tmp_path, "trials: 3\nsampler: tpe", space=CHOICES, name="late").id
    assert study.definition["start_from"].startswith("early-")
    run_study(study, inline_in(tmp_path))
    (recorded,) = [call["start_from"] for call in load_calls(store, study.id)]
    assert len(recorded["points"]) == 4
    again = recorded_study(store, study.id)
    assert again.start_from == study.start_from
    early = noop_study(
        tmp_path,
        "trials: 6\nsampler: random\npoints: [{noop.value: 0.9, noop.epochs: 1}, "
        "{noop.value: 0.7, noop.epochs: 1}, {noop.value: 0.3, noop.epochs: 1}, "
        "{noop.value: 0.1, noop.epochs: 1}]",
        space=CHOICES,
        name="early",
    )
    run_study(early, inline_in(tmp_path))
    assert started(tmp_path, store).start_from == study.start_from


@pytest.mark.long
def test_the_verbs_start_and_resume_it(tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    noop_study(tmp_path, "trials: 2\nsampler: tpe\nstart_from: early", space=CHOICES, name="late")
    where = ["--home", str(tmp_path), "--store", store.uri, "--inline"]
    assert main([str(tmp_path / "late.yaml"), *where, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["trials"]["completed"] == 2
    report = (Path(summary["report"]).parent / "report.md").read_text(encoding="utf-8")
    assert "The sampler was given the results of 4 points of the earlier sweep early-" in report
    assert resume([summary["study"], *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"]["completed"] == 2
