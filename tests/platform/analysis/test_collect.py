"""What is read back of an ablation: every trial, per-clip arrays, and gaps as NaN."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform.analysis.collect import AblationResult, ClipValues, collect_ablation
from platform.analysis.power import power_table
from platform.errors import UserError
from platform.study.design import DeclaredComparison, has_clips, split_of
from platform.study.registration import Amendment, amend
from storage.errors import IntegrityError, NotFoundError
from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.runs import Manifest, RunStore
from storage.studies import save_study
from tests.platform.noop_ablations import NOOP, build, play, register

CLIPS = (3, 5, 8)


def evaluated(runs: RunStore, identity: str, folder: Path, *, shift: float, world: str = "", film: str = "") -> None:
    """Store an evaluation whose SSIM of clip c is c + `shift`, undefined for clip 8; the ceiling's is c + 100.

    With `film`, each clip has a cluster, two clips to a film; `world` begins the names of clips.
    """
    rows: list[tuple[str, int, str, str, str, float | None, str | None]] = []
    for clip in CLIPS:
        undefined = clip == 8
        value, reason = (None, "one frame") if undefined else (clip + shift, "")
        rows.append(("test", clip, f"{world}clip{clip}", "system", "ssim", value, reason))
        rows.append(("test", clip, f"{world}clip{clip}", "ceiling", "ssim", clip + 100.0, None))
        rows.append(("validation", clip + 50, f"{world}clip{clip + 50}", "system", "ssim", 0.5, None))
    names = ("split", "clip", "name", "system", "metric", "value", "reason")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    if film:
        columns["cluster"] = [f"{film} {row[1] // 4}" for row in rows]
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "per_clip.parquet")
    runs.commit(Manifest(identity, "evaluate", {}, 0, {}, {}, {}, (), {}, 0.0, 1.0), folder)


@pytest.fixture
def result(tmp_path: Path) -> AblationResult:
    """An ablation with a failed and a missing trial, of which four have evaluations."""
    store = LocalStore(tmp_path / "store")
    study = build()
    register(study, store)
    play(study, store, outcome={"half-u0-s2": "FAILED"})
    whole = collect_ablation(store, study.id, cache=tmp_path / "cache")
    trials = dict(whole.trials)
    for number, key in enumerate([("baseline", 0, 0), ("baseline", 0, 1), ("half", 0, 0)]):
        identity = f"evaluate-{number:016x}"
        trials[key] = replace(trials[key], identities={**trials[key].identities, "evaluate": identity})
        evaluated(whole.runs, identity, tmp_path / identity, shift=10.0 * number)
    trials["half", 0, 5] = replace(trials["half", 0, 5], outcome=None, metrics={})
    return replace(whole, trials=trials)


def test_trials_with_equal_configs_share_one(result: AblationResult) -> None:
    """Ten thousand copies cost Python's search for garbage more than reading them."""
    configs = {key: trial.config for key, trial in result.trials.items() if trial.config}
    of_half = [config for (condition, *_), config in configs.items() if condition == "half"]
    assert len(of_half) > 2
    assert all(config is of_half[0] for config in of_half)
    assert configs["baseline", 0, 0] != of_half[0]


def test_scalars_by_condition_subject_and_seed(result: AblationResult) -> None:
    found = result.scalars("noop.value")
    assert found["baseline"].shape == (1, 6)
    assert (found["baseline"] == 0.0).all()
    assert np.isnan(found["half"][0]).tolist() == [False, False, True, False, False, True]
    assert np.nansum(found["half"]) == 2.0
    assert not result.complete
    unusable = {trial.name: trial.error for trial in result.unusable}
    assert unusable == {"half-u0-s2": "it broke", "half-u0-s5": None}
    assert result.seconds()["baseline"].sum() == 12.0
    assert not has_clips("noop.value")
    with pytest.raises(ValueError, match="no values per clip"):
        result.clips("noop.value")


def test_values_per_clip_are_aligned_and_gaps_have_reasons(result: AblationResult) -> None:
    found = result.clips("evaluate.test_ssim")
    assert (found.clips, found.names) == (CLIPS, ("clip3", "clip5", "clip8"))
    assert found.values["baseline"].shape == (1, 6, 3)
    np.testing.assert_array_equal(found.values["baseline"][0, :2], [[3, 5, np.nan], [13, 15, np.nan]])
    np.testing.assert_array_equal(found.values["half"][0, 0], [23, 25, np.nan])
    assert np.isnan(found.values["half"][0, 1:]).all()
    assert found.reasons == {"one frame": 3}
    ceiling = result.clips("evaluate.test_ssim", "ceiling")
    np.testing.assert_array_equal(ceiling.values["half"][0, 0], [103, 105, 108])
    assert result.clips("evaluate.ssim").clips == (53, 55, 58)
    assert result.systems() == ("system", "ceiling")
    assert result.clip_metrics() == ("evaluate.test_ssim",)
    assert result.clips("evaluate.test_psnr").clips == ()


def test_power_tells_how_many_seeds_an_effect_needs(result: AblationResult, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "evaluate.test_ssim"
    rng = np.random.default_rng(0)
    values = {condition: rng.uniform(0, 0.1, (1, 6, 40)) for condition in result.conditions}
    found = ClipValues(name, "system", tuple(range(40)), ("",) * 40, values)
    monkeypatch.setattr(AblationResult, "clips", lambda self, metric: found)
    design = result.design.model_copy(
        update={"family": (DeclaredComparison(condition="half", metric=name),), "unit": "both"}
    )
    piloted = replace(result, registration=replace(result.registration, design=design))
    columns = {str(column.header): list(column.cells) for column in power_table([piloted], f"{name}=0.05").columns}
    assert columns["comparison"] == ["half"]
    assert columns["seeds"] == ["6"], "a large effect needs no more than a star can be earned with"
    assert columns["at least"] == ["6"]
    for wrong in ("evaluate.test_epe=1", f"{name}=x", f"{name}=0"):
        with pytest.raises(UserError, match="--power"):
            power_table([piloted], wrong)


def test_power_of_a_number_of_whole_trials_is_over_seeds(
    result: AblationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    values = {condition: rng.uniform(0, 0.1, (1, 6)) for condition in result.conditions}
    monkeypatch.setattr(AblationResult, "scalars", lambda self, metric: values)
    (seeds,) = power_table([result], "noop.value=0.5").columns[1].cells
    assert seeds == "6", "a huge effect needs no more than a star can be earned with"
    with pytest.raises(UserError, match=r"one of the metrics: noop\.value"):
        power_table([result], "evaluate.test_ssim=0.5")


def test_splits_and_names() -> None:
    assert split_of("evaluate.test_ssim") == ("test", "ssim")
    assert split_of("evaluate.ssim") == ("validation", "ssim")


def test_the_design_is_the_registered_one_and_amendments_stay_visible(tmp_path: Path) -> None:
    store, study = MemoryStore(), build()
    register(study, store)
    amend(store, study.id, Amendment(6, 8, 5.0))
    amend(store, study.id, Amendment(8, 9, 6.0))
    found = collect_ablation(store, study.id, cache=tmp_path)
    assert found.design == study.design
    assert found.registration.sha256 == study.definition["sha256"]
    assert [one.text for one in found.amendments] == ["seeds 6 -> 8", "seeds 8 -> 9"]
    assert found.seeds == tuple(range(9))
    assert len(found.trials) == 18
    assert {trial.outcome for trial in found.trials.values()} == {None}


def test_conditions_keep_the_order_of_the_file_through_the_store(tmp_path: Path) -> None:
    text = NOOP + "  zero: {noop.epochs: 2}\n  all: {noop.value: 0.7}\n"
    store, study = MemoryStore(), build(text, "seeds=8")
    register(study, store)
    assert collect_ablation(store, study.id, cache=tmp_path).conditions == ("baseline", "half", "zero", "all")


def test_what_is_no_ablation(tmp_path: Path) -> None:
    store, study = MemoryStore(), build()
    with pytest.raises(NotFoundError):
        collect_ablation(store, study.id, cache=tmp_path)
    save_study(store, "sweep", {"id": "sweep", "definition": {"space": {}}})
    with pytest.raises(ValueError, match="sweep is a sweep"):
        collect_ablation(store, "sweep", cache=tmp_path)
    tampered = {**study.definition, "design": {**study.definition["design"], "alpha": 0.2}}
    save_study(store, "changed", {"id": "changed", "definition": tampered})
    with pytest.raises(IntegrityError, match="does not match the hash"):
        collect_ablation(store, "changed", cache=tmp_path)


def test_reading_records_is_fast(tmp_path: Path) -> None:
    """10,000 trials in under 10 s (EXPERIMENTS.md); a fiftieth of them here, in a tenth of the time."""
    store, study = MemoryStore(), build(NOOP, "seeds=100")
    register(study, store)
    play(study, store)
    began = time.process_time()
    found = collect_ablation(store, study.id, cache=tmp_path)
    assert time.process_time() - began < 1.0
    assert len(found.trials) == 200
    assert found.complete


@pytest.mark.parametrize(("worlds", "own"), [(("", ""), False), (("a:", "b:"), True)])
def test_clusters_and_clips_of_ones_own(
    result: AblationResult, tmp_path: Path, worlds: tuple[str, str], own: bool
) -> None:
    assert (result.clips("evaluate.test_ssim").clusters, result.own_clips) == ((), False), "an earlier version's"
    trials = dict(result.trials)
    for number, (world, key) in enumerate(zip(worlds, [("baseline", 0, 0), ("baseline", 0, 1)], strict=True)):
        identity = f"evaluate-{number + 16:016x}"
        trials[key] = replace(trials[key], identities={**trials[key].identities, "evaluate": identity})
        evaluated(result.runs, identity, tmp_path / f"new-{identity}", shift=0.0, world=world, film="film")
    mixed = replace(result, trials=trials).clips("evaluate.test_ssim")
    assert mixed.clusters == (), "one evaluation has none: nothing is guessed"
    del trials["half", 0, 0]
    found = replace(result, trials=trials)
    assert found.clips("evaluate.test_ssim").clusters == ("film 0", "film 1", "film 2")
    assert found.own_clips == own
