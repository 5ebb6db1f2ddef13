"""Several data sets in one ablation: read, checked and planned, each with its own baseline and subjects."""

import re
from pathlib import Path

import pytest

from platform.errors import UserError
from platform.study.ablation_file import ABLATIONS, load_ablation
from platform.study.data_sets import ACROSS
from platform.study.design import trial_name
from platform.study.plan import make_plan
from platform.study.registration import registered
from platform.study.sweep_file import build_study
from platform.study.yaml_source import parse
from storage.memory import MemoryStore
from tests.platform.noop_ablations import build, complaints, register
from tests.trainables.folders import write_folder

SMALL = "train_clips: 60, validation_clips: 10, test_clips: 10, block_clips: 2"
TEXT = f"""\
primary: structure.test_latent_mse
seeds: 8
unit: seeds
subjects: [2]
baseline: {{structure.train.epochs: 2, dataset: {{{SMALL}}}}}
datasets:
  quiet: {{dataset.noise: 0.1, subjects: [0, 1]}}
  noisy: {{dataset: {{kind: appearing, noise: 1.0}}, structure.train.epochs: 3}}
conditions:
  ridge: {{structure.kind: ridge}}
  longer: {{structure.train.epochs: 5}}
"""
NOOP = """\
primary: [noop.value]
seeds: 7
unit: seeds
datasets: {one: {noop.value: 1.0}, two: {noop.value: 2.0, subjects: [0, 3]}}
conditions: {half: {noop.value: 0.5}}
"""


def test_every_condition_runs_in_every_data_set_with_its_subjects() -> None:
    study = build(TEXT)
    points = [(values["dataset"], values["condition"], values["subject"]) for values in study.points]
    conditions = ("baseline", "ridge", "longer")
    assert points == [
        *(("quiet", condition, subject) for condition in conditions for subject in (0, 1)),
        *(("noisy", condition, 2) for condition in conditions),
    ]
    assert study.trial_count == len(study.specs) == 9 * 8
    spec = next(spec for spec in study.specs if spec.trial == "longer-noisy-u2-s3")
    assert (spec.config["dataset"]["kind"], spec.config["dataset"]["noise"]) == ("appearing", 1.0)
    assert spec.config["dataset"]["train_clips"] == 60, "of the baseline"
    epochs = {s.trial: s.config["structure"]["train"]["epochs"] for s in study.specs}
    assert (epochs["baseline-quiet-u0-s0"], epochs["baseline-noisy-u2-s0"]) == (2, 3)
    assert epochs["longer-noisy-u2-s0"] == 5, "a condition is on top of its data set"


def test_blocks_and_labels_name_the_data_set() -> None:
    labels = build(NOOP).labels(3, {"dataset": "two", "condition": "half", "subject": 3})
    expected = {"condition": "half", "dataset": "two", "subject": "3", "seed": "3", "block": "two-u3-s3"}
    assert labels == expected
    assert "dataset" not in build().labels(0, {"condition": "half", "subject": 0})
    assert trial_name("a-b", 0, 1, "c") != trial_name("a", 0, 1, "b_c")


def test_the_plan_shares_within_a_data_set_only() -> None:
    study = build(TEXT)
    stages = {stage.stage: stage.runs for stage in make_plan(study, MemoryStore()).stages}
    assert stages == {"clips": 2, "features": 2, "data": 2, "voxels": 3, "structure": 3 * (2 * 8 + 1)}
    assert study.headline()["data sets"] == "quiet (subjects 0, 1); noisy (subjects 2); compared within each"
    assert study.headline()["family"].startswith("4 comparisons")
    rows = [row[:2] for row in study.listing().rows]
    assert ("data set quiet", "dataset.noise: 0.1") in rows


def test_the_design_is_registered_with_the_baseline_of_each() -> None:
    study, store = build(TEXT), MemoryStore()
    register(study, store)
    registration = registered(store, study.id)[0]
    assert registration.design == study.design
    assert [data.name for data in registration.design.datasets] == ["quiet", "noisy"]
    assert registration.baseline["quiet.clips"] != registration.baseline["noisy.clips"]
    other = build(TEXT.replace("noise: 1.0", "noise: 1.1"))
    assert other.definition["sha256"] != study.definition["sha256"]


def test_without_data_sets_nothing_is_new() -> None:
    study = build()
    assert study.space.fields == ("condition", "subject")
    assert study.trial_name(0, 0) == "baseline-u0-s0"
    assert not {"datasets", "sharing"} & study.definition["design"].keys()
    assert list(study.definition["baseline"]) == ["noop"], "stages without the name of a data set"
    assert study.design.parts == {"": study.design}


def test_a_part_is_the_design_in_one_data_set() -> None:
    design = build(TEXT).design
    part = design.parts["noisy"]
    assert part.subjects == (2,)
    assert part.overrides("ridge", 2)["dataset.kind"] == "appearing"
    assert (part.family_size, part.parts) == (design.family_size, {"": part})


def test_published_values_can_be_those_of_one_data_set() -> None:
    table = "published: {table: table6.csv, dataset: one, conditions: {baseline: full}, columns: {noop.value: ssim}}\n"
    parts = build(NOOP + table).design.parts
    assert [len(part.published) for part in parts.values()] == [1, 0]
    (line,) = complaints(NOOP + table.replace("dataset: one", "dataset: on"))
    assert "there is no data set 'on'; did you mean one?" in line


def test_the_family_counts_all_data_sets() -> None:
    lines = complaints(NOOP.replace("seeds: 7", "seeds: 6"))
    assert len(lines) == 1, "once, not for each data set"
    assert "a family of 2 at 0.05 needs a p of 0.025: 7 seeds are enough" in lines[0]
    assert "7 seeds are the fewest" in build(NOOP).notes[0]


def test_what_is_varied_is_that_of_each_kind(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    text = f"""\
primary: structure.test_latent_mse
seeds: 8
unit: seeds
vary: [train, data]
datasets: {{phantom: {{}}, mine: {{dataset.kind: folder, dataset.path: {folder}}}}}
conditions: {{ridge: {{structure.kind: ridge}}}}
"""
    study = build(text)
    assert "dataset.seed or dataset.resplit + 0 to 7" in study.headline()["vary"]
    configs = {spec.trial: spec.config["dataset"] for spec in study.specs}
    assert (configs["baseline-phantom-u0-s3"]["seed"], configs["baseline-mine-u0-s3"]["resplit"]) == (3, 3)


def test_a_metric_that_a_data_set_lacks_is_refused_with_its_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine")
    text = f"""\
primary: evaluate.test_shape_accuracy
seeds: 8
datasets: {{phantom: {{}}, mine: {{dataset.kind: folder, dataset.path: {folder}}}}}
conditions: {{ridge: {{structure.kind: ridge}}}}
"""
    lines = complaints(text)
    assert "primary: data set mine: evaluate.test_shape_accuracy needs a known answer" in lines[0]
    assert not any("data set phantom" in line for line in lines)


def test_a_condition_that_one_data_set_has_already_is_refused() -> None:
    lines = complaints(TEXT.replace("longer: {structure.train.epochs: 5}", "longer: {structure.train.epochs: 3}"))
    assert [line.partition("longer: ")[2].partition(" changes")[0] for line in lines] == ["data set noisy: longer"]
    factorial = TEXT.partition("conditions:")[0] + "factorial: {fields: {structure.train.epochs: [2, 4]}}\n"
    (line,) = complaints(factorial)
    assert "datasets.quiet: epochs-2 equals the baseline in this data set but not in the others" in line


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("two: {", "t-o: {", "'t-o' is used in names of trials and files"),
        (", two: {noop.value: 2.0, subjects: [0, 3]}", "", "datasets: names one data set; name two or more"),
        ("[0, 3]", "[3, 3]", "datasets.two.subjects: 3 is listed twice"),
        ("[0, 3]", "[]", "must be a list of numbers of subjects, from 0, such as [0, 1], but got []"),
        ("[0, 3]", "-1", "must be a list of numbers of subjects"),
        ("subjects: [0, 3]", "voxels.subject: 1", "is set by the key `subjects`"),
        ("value: 2.0", "valu: 2.0", "datasets.two.noop.valu: data set two: there is no such key"),
        ("value: 2.0", 'value: "2.0"', "datasets.two.noop.value: data set two: "),
        ("value: 2.0", "value: 1.0", "datasets.two: gives the same results as one: it is the same data set"),
        ("{noop.value: 1.0}", "3", "datasets.one: must be a mapping"),
        ("{one: {noop.value: 1.0}, two: {noop.value: 2.0, subjects: [0, 3]}}", "[a, b]", "datasets: "),
        (
            "conditions:",
            "search: {study: s, metric: noop.value, points: 2, values: {half: 1.0}}\nconditions:",
            "`search`",
        ),
    ],
)
def test_mistakes_are_named_where_they_are(before: str, after: str, expected: str) -> None:
    assert before in NOOP
    text = "\n".join(complaints(NOOP.replace(before, after)))
    assert expected in text
    assert "Traceback" not in text


@pytest.mark.parametrize("key", ACROSS)
def test_training_on_one_and_testing_on_another_is_pointed_to_its_kind(key: str) -> None:
    (line,) = complaints(NOOP.replace("subjects: [0, 3]", f"{key}: one"))
    assert re.search(rf"datasets.two.{key}: every condition is trained and tested within its data set", line)
    assert "dataset: {kind: across, train: " in line


def test_a_setting_that_a_data_set_overrides_is_refused() -> None:
    lines = complaints(TEXT, "dataset.noise=0.5")
    assert [line.partition(": change")[0] for line in lines if "change it there" in line] == lines
    assert "is set for the data set noisy at test.yaml:8:38" in lines[0]
    assert build(TEXT, "dataset.voxels=64").specs[0].config["dataset"]["voxels"] == 64


def test_another_data_set_as_a_condition_is_pointed_to_the_key() -> None:
    text = "primary: evaluate.test_ssim\nseeds: 8\nconditions: {other: {dataset.seed: 1}}\n"
    assert "its scale depends on dataset.seed; name data sets under `datasets`" in "\n".join(complaints(text))


def test_within_and_across_stand_side_by_side() -> None:
    test = f"test: {{seed: 5, {SMALL}}}"
    text = f"""\
primary: structure.test_latent_mse
seeds: 8
unit: seeds
datasets:
  within: {{dataset: {{kind: across, train: {{seed: 5, {SMALL}}}, {test}}}}}
  across: {{dataset: {{kind: across, train: {{seed: 0, {SMALL}}}, {test}}}}}
conditions: {{ridge: {{structure.kind: ridge}}}}
"""
    stages = {stage.stage: stage.runs for stage in make_plan(build(text), MemoryStore()).stages}
    assert stages == {"clips": 2, "features": 2, "data": 2, "voxels": 2, "structure": 2 * 9}
    lines = complaints(text.replace("test: {seed: 5,", "test: {seed: 5, frames: 6,", 1))
    assert "data set within: clips have 8 frames of 64 x 64 pixels in dataset.train, but 6 frames" in lines[0]
    (line,) = complaints(text.replace("seed: 0,", "sead: 0,"))
    assert "datasets.across.dataset.train.sead: data set across: there is no such key" in line
    (line,) = complaints(text.replace("seed: 0,", "crop: null,"))
    assert "belongs to data sets of another kind; set dataset.train.kind, too, to folder" in line


@pytest.mark.parametrize("domain", ["dataset.noise: {choice: [0.1, 0.5]}", "dataset.path: {choice: [/a, /b]}"])
def test_a_sweep_over_data_sets_is_refused_with_what_would_do(domain: str) -> None:
    text = f"target: structure.latent_mse\ntrials: 2\nspace: {{{domain}}}\n"
    with pytest.raises(UserError, match="is not comparable across dataset") as caught:
        build_study(parse(text, path="sweep.yaml"), name="sweep")
    first, *others = str(caught.value).splitlines()
    assert "run one study for each value" in first
    assert "or an ablation with the key `datasets`" in first
    assert all("there is no such key" in line for line in others), "the phantom has no path"


def test_the_shipped_design_plans() -> None:
    study = load_ablation(ABLATIONS / "two_data_sets.yaml")
    assert [data.name for data in study.design.datasets] == ["phantom", "noisy"]
    assert study.trial_count == 2 * 2 * 9
