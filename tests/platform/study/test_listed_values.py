"""Lists and null as values of a swept field: from the file to samplers, records, tables, figures and a second call."""

import io
import json
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from platform import rebuild, resume, sweep
from platform.record.optuna_study import distributions
from platform.run.proposer import Proposer
from platform.study.domains import Choice, as_value, sampled_values
from storage import layout
from storage.studies import list_studies
from storage.uri import open_store
from tests.platform.study_texts import build, complaints
from tests.plugin_files import written

STAGE = '''
"""A stage with a list and a number that may be null."""

import math

from trainables.api import Config, Metric, NewStage, Plugin, StageResult


class Settings(Config):
    """Numbers of the stage."""

    widths: tuple[int, ...] = (256,)
    """Widths."""
    limit: int | None = None
    """Largest width."""
    value: float = 0.5
    """Number that is added."""


def run(task):
    settings = task.config.listed
    total = float(sum(settings.widths) if settings.limit is None else settings.limit)
    return StageResult({"value": total + settings.value})


PLUGIN = Plugin(
    api=1,
    stages=(NewStage(name="listed", run=run, inputs=(), settings=Settings),),
    metrics=(Metric("listed.value", title="sum", goal="min", low=-math.inf, high=math.inf, source="a test"),),
)
'''
FIELDS = """\
  listed.widths: {choice: [[256], [256, 128], []]}
  listed.limit: {choice: [null, 1, 50]}
  listed.value: {uniform: [0.0, 1.0], step: 0.5, when: {listed.widths: [[256], [256, 128]]}}
"""
SWEEP = f"""\
plugins: [listed.py]
target: listed.value
SAMPLER
constraints: ["listed.limit == null or listed.widths != []"]
points: [{{listed.widths: [256, 128], listed.limit: null, listed.value: 0.0}}]
space:
{FIELDS}"""
ALLOWED = 2 * 3 * 3 + 1
"""Two lists with three limits and three values; the empty list only without a limit, and without a value."""


def folder_with(folder: Path, sampler: str) -> Path:
    return written(folder, listed_py=STAGE, study_yaml=SWEEP.replace("SAMPLER", sampler))


@pytest.mark.long
def test_a_grid_of_lists_and_null_runs_resumes_and_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_with(tmp_path, "sampler: grid"))
    assert sweep.main(["study.yaml", "--inline", "--home", "home"]) == 0
    store = open_store((tmp_path / "home" / "store").as_uri())
    (identity,) = list_studies(store)
    table = pq.read_table(io.BytesIO(store.get(layout.record(identity, "trials.parquet")))).to_pylist()
    assert len(table) == ALLOWED
    assert {row["outcome"] for row in table} == {"COMPLETED"}
    first = min(table, key=lambda row: row["trial"])
    assert (json.loads(first["param.listed.widths"]), first["param.listed.limit"]) == ([256, 128], None)
    assert first["metric.listed.value"] == 384.0
    assert {row["metric.listed.value"] for row in table if json.loads(row["param.listed.widths"]) == []} == {0.5}
    path = next((tmp_path / "home" / "optuna").glob("*.log"))
    (study,) = optuna.get_all_study_summaries(JournalStorage(JournalFileBackend(str(path))))
    journal = optuna.load_study(study_name=study.study_name, storage=JournalStorage(JournalFileBackend(str(path))))
    assert {trial.params["listed.widths"] for trial in journal.trials} == {"[256]", "[256, 128]", "[]"}
    assert {trial.params["listed.limit"] for trial in journal.trials} == {"null", 1, 50}
    assert rebuild.main(["study", "--home", "home"]) == 0
    assert resume.main(["study", "--home", "home", "--inline"]) in (0, 2)  # 2: consent to the plug-in


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
def test_every_sampler_proposes_lists_and_null_and_goes_on(sampler: str) -> None:
    text = f"""\
target: semantic.retrieval_image_top1
sampler: {sampler}
trials: 8
space:
  semantic.head_hidden: {{choice: [[256], [256, 128], []]}}
  semantic.dropout: {{uniform: [0.0, 0.5]}}
"""
    study = build(text)
    proposer = Proposer(study)
    points = [proposer.ask() for _ in range(8)]
    values = [dict(point.values) for point in points if point is not None]
    assert {value["semantic.head_hidden"] for value in values} <= {(256,), (256, 128), ()}
    assert len({value["semantic.head_hidden"] for value in values}) > 1
    again = Proposer(study)
    for number, value in enumerate(values[:4]):
        again.restore(number, json.loads(json.dumps(value)))
    continued = again.ask()
    assert continued is not None
    assert continued.point == 4
    if sampler == "random":
        assert dict(continued.values) == values[4]


def test_what_a_sampler_is_given_are_words_and_numbers() -> None:
    domain = Choice(choice=[None, 1, [1, 2]])
    for value in (None, 1, [1, 2], (1, 2)):
        params = sampled_values({"a": value})
        trial = optuna.trial.create_trial(value=0.0, params=params, distributions=distributions({"a": domain}, params))
        study = optuna.create_study()
        study.add_trial(trial)
    assert sampled_values({"a": None, "b": (1, "x"), "c": True}) == {"a": "null", "b": '[1, "x"]', "c": True}
    assert as_value([1, None]) == (1, None)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("semantic.head_hidden: {choice: [[256], [0]]}", "greater than or equal to 1"),
        ('semantic.head_hidden: {choice: [[256], ["128"]]}', "must be [128], but got [128]"),
        ("semantic.head_hidden: {choice: [[256], [[1]]]}", "null, or a list of these, but got [[1]]"),
        ("semantic.dropout: {choice: [null, 0.1]}", "must be a valid number, but got None"),
        ("semantic.dropout: {choice: [0.1, {a: 1}]}", "null, or a list of these"),
    ],
)
def test_a_list_or_null_that_a_field_cannot_take_is_one_line(field: str, message: str) -> None:
    (line,) = complaints(f"target: semantic.retrieval_image_top1\ntrials: 2\nspace:\n  {field}\n")
    assert message in line
    assert line.startswith("test.yaml:4:")
