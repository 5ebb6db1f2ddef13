"""Identities are promises: literal ones are pinned here. If one changes, CHANGELOG.md must say why."""

from typing import Annotated

import pytest

from trainables.config.base import Config
from trainables.config.trial import resolve
from trainables.config.video import GeneratorConfig
from trainables.graph import STAGES, stage_runs
from trainables.identity import CIRCUMSTANCE, SINCE, canonical, digest, identity_fields

GOLDEN = {
    "phantom": {
        "data": "data-f378f90b484721f2",
        "features": "features-200c4c990e7081bb",
        "voxels": "voxels-9b353d0b6afdcdcc",
        "semantic": "semantic-ca9a8f536d9c2ca5",
        "structure": "structure-208264b1e0326762",
        "motion": "motion-42b56d0c46061a86",
        "controls": "controls-d463e9a18d77c474",
        "reconstruct": "reconstruct-8f63c21f5fae481f",
        "evaluate": "evaluate-37a033e0f195257c",
        "importance": "importance-5528cf2b79747500",
        "noop": "noop-c44b7f3a757ab78e",
    },
    "paper": {
        "data": "data-f378f90b484721f2",
        "features": "features-dcde9e3d2d0b29a3",
        "voxels": "voxels-9b353d0b6afdcdcc",
        "semantic": "semantic-f143ac1ef73e705d",
        "structure": "structure-a6ef9a2fa23e41cb",
        "motion": "motion-a69e026e0fcd5e49",
        "controls": "controls-e1d8943f8bd94592",
        "reconstruct": "reconstruct-ba9c4c46ec3eef69",
        "evaluate": "evaluate-5f43dfc32d849456",
        "importance": "importance-2eaf5eaa4b9c8431",
        "noop": "noop-c44b7f3a757ab78e",
    },
}

EVERYTHING = {*STAGES} - {"noop"}


def identities(overrides: dict[str, object], seed: int = 0) -> dict[str, str]:
    runs = stage_runs(resolve(overrides), seed=seed, targets=STAGES)
    return {run.stage: run.identity for run in runs}


def changed(overrides: dict[str, object], seed: int = 0) -> set[str]:
    before, after = identities({}), identities(overrides, seed)
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize("preset", GOLDEN)
def test_golden_identities(preset: str) -> None:
    assert identities({"preset": preset}) == GOLDEN[preset]


def test_a_field_changes_its_stage_and_what_builds_on_it() -> None:
    assert changed({"motion.mask_ratio": 0.5}) == {"motion", "reconstruct", "evaluate", "importance"}
    assert changed({"structure.dropout": 0.3}) == {"structure", "motion", "reconstruct", "evaluate", "importance"}
    assert changed({"voxels.subject": 1}) == EVERYTHING - {"data", "features"}
    assert changed({"dataset.noise": 0.5}) == EVERYTHING


def test_an_ablated_feature_retrains_nothing() -> None:
    assert changed({"reconstruct.semantic": "noise"}) == {"reconstruct", "evaluate"}
    assert changed({"generator.guidance": 1.0}) == {"controls", "reconstruct", "evaluate"}
    assert changed({"evaluate.shuffles": 10}) == {"evaluate"}


def test_a_named_set_of_settings_is_the_settings_it_names() -> None:
    assert changed({"generation": "paper"}) == {"controls", "reconstruct", "evaluate"}
    assert identities({"generation": "paper"}) == identities(
        {f"generator.{name}": value for name, value in GeneratorConfig().model_dump().items()}
    )


def test_a_seed_changes_what_is_trained_and_nothing_else() -> None:
    trained = {"semantic", "structure", "motion", "noop"}
    assert changed({}, seed=1) == {*trained, "reconstruct", "evaluate", "importance"}


def test_a_default_written_out_changes_nothing() -> None:
    assert changed({"motion.mask_ratio": 0.6, "dataset.kind": "phantom"}) == set()


def test_circumstances_change_nothing() -> None:
    assert changed({"motion.train.device": "cpu", "semantic.train.compile": True, "noop.sleep": 3.0}) == set()


def test_marked_fields_are_left_out_at_any_depth() -> None:
    class Inner(Config):
        kept: int = 1
        place: Annotated[str, CIRCUMSTANCE] = "here"

    class Outer(Config):
        inner: Inner = Inner()
        rate: float = 0.5

    assert identity_fields(Outer()) == {"inner": {"kept": 1}, "rate": 0.5}


def test_a_field_that_is_added_with_its_old_meaning_changes_no_identity() -> None:
    class Before(Config):
        rate: float = 0.5

    class After(Config):
        rate: float = 0.5
        window: Annotated[tuple[int, ...], SINCE((0,))] = (0,)
        kind: Annotated[str, SINCE("mlp")] = "ridge"

    assert identity_fields(After(kind="mlp")) == identity_fields(Before())
    assert identity_fields(After()) == {"rate": 0.5, "kind": "ridge"}, "the new default is not what was done before"
    assert identity_fields(After(window=(1, 2), kind="mlp")) == {"rate": 0.5, "window": [1, 2]}


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
