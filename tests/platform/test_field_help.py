"""Config fields and keys of files are listed from the code, with meaning, default, values and kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform import ablate, sweep
from platform.screen.field_list import fields_page
from platform.screen.metric_list import metrics_page
from platform.study.config_errors import config_fields
from platform.study.field_help import ablation_keys, config_help, sweep_keys
from trainables.config.trial import flatten, resolve
from trainables.identity import decisive_names
from trainables.metrics.registry import METRICS

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {entry.name: entry for entry in config_help()}


def test_every_field_is_listed_with_a_meaning_and_its_values() -> None:
    assert {entry.name for entry in config_help()} == config_fields().keys()
    listed = (*config_help(), *sweep_keys(), *ablation_keys())
    assert [entry.name for entry in listed if not entry.meaning] == []
    assert [entry.name for entry in listed if not entry.values and "=" not in entry.name] == []


def test_defaults_are_those_of_a_trial() -> None:
    usual = flatten(resolve({}).model_dump(mode="json"))
    numbers = [name for name, value in usual.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    assert len(numbers) > 60
    phantom = [entry for entry in config_help() if not entry.only_with or "phantom" in entry.only_with]
    assert {entry.name: float(entry.default) for entry in phantom if entry.name in numbers} == {
        name: float(usual[name]) for name in numbers
    }


def test_the_kind_of_a_field_is_what_identity_says() -> None:
    decisive = set(decisive_names(resolve({})))
    kinds = {entry.name: entry.kind for entry in config_help() if "folder" not in entry.only_with}
    for of_others in (
        *("dataset.onset", "dataset.resplit"),
        *("dataset.train", "dataset.test", "dataset.train_subject", "dataset.test_subject"),
    ):
        kinds.pop(of_others)
    assert {name for name, kind in kinds.items() if kind == "identity"} == decisive


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("motion.mask_ratio", {"values": "number >= 0, <= 1", "default": "0.6", "kind": "identity"}),
        ("motion.patch_size", {"values": "integer >= 1", "sets": {"preset=paper": "64"}}),
        ("motion.train.device", {"values": "one of: auto, cpu, cuda", "kind": "circumstance"}),
        ("motion.train.workers", {"values": "integer >= 1, or a range as 1..4"}),
        (
            "motion.train.gamma",
            {"default": "0.82", "meaning": "Factor of the learning rate per epoch; only with schedule `exponential`."},
        ),
        ("dataset.kind", {"values": "one of: phantom, appearing, folder, prepared, across", "default": "phantom"}),
        ("dataset.kind", {"only_with": ""}),
        ("dataset.train", {"values": "kind and fields of a data set", "only_with": "dataset.kind=across"}),
        ("dataset.crop", {"default": "null", "only_with": "dataset.kind=folder"}),
        ("dataset.path", {"default": "", "values": "folder or URI", "only_with": "dataset.kind=prepared"}),
        ("generator.procedure", {"default": "img2img"}),
    ],
)
def test_a_field_is_described(name: str, expected: dict[str, Any]) -> None:
    described = FIELDS[name].to_json()
    assert {key: described[key] for key in expected} == expected


def test_keys_of_a_sweep_name_samplers_and_what_is_refused() -> None:
    keys = {entry.name: entry for entry in sweep_keys()}
    assert keys["scheduler"].values == "one of: fifo, asha, median"
    assert keys["scheduler=pbt"].meaning.startswith("Refused: ")
    assert keys["scheduler.asha.reduction_factor"].default == "3"
    assert {"base", "points", "repeats", "constraints", "space.FIELD.when", "sampler=tpe"} <= set(keys)


@pytest.mark.parametrize(
    ("verb", "arguments", "names"),
    [
        (sweep, ["--help-fields", "motion.sparsify"], {name for name in FIELDS if name.startswith("motion.sparsify.")}),
        (sweep, ["--help-fields"], set(FIELDS)),
        (sweep, ["--help-keys", "repeats"], {"repeats"}),
        (ablate, ["--help-fields", "voxels.lag_tr"], {"voxels.lag_tr"}),
        (ablate, ["--help-keys"], {entry.name for entry in ablation_keys()}),
    ],
)
def test_the_verbs_list_them(
    verb: Any, arguments: list[str], names: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb.main([*arguments, "--json"]) == 0
    assert {field["name"] for field in json.loads(capsys.readouterr().out)["fields"]} == names
    assert verb.main(arguments) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in names)


def test_an_unknown_prefix_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--help-fields", "moton"]) == 2
    assert "did you mean motion or motion.kind?" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "page"), [("fields.md", fields_page), ("metrics.md", metrics_page)])
def test_the_page_is_up_to_date(name: str, page: Callable[[], str]) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == page(), f"docs/{name} is not what the code says: make fields writes it anew"


def test_every_metric_stands_on_the_page_once_with_its_direction() -> None:
    rows = [line for line in metrics_page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(METRICS)
    assert (
        "| `evaluate.epe` | EPE (px) | lower | from 0 | `random_clip`, `shuffled_fmri` | Farneback flow of RGB frames |"
        in rows
    )
