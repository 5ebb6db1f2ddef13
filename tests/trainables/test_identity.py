"""Identities are promises: literal ones are pinned here. If one changes, CHANGELOG.md must say why."""

from typing import Annotated

import pytest

from trainables.config.base import Config
from trainables.config.trial import resolve
from trainables.graph import STAGES, stage_runs
from trainables.identity import CIRCUMSTANCE, canonical, digest, identity_fields

GOLDEN = {
    "phantom": {
        "data": "data-0d146e2173d07751",
        "features": "features-7130da2cdcb723f7",
        "voxels": "voxels-99ecee1e35ad1ac6",
        "semantic": "semantic-c65716bf3a06fbe3",
        "structure": "structure-c162a4104ea20a30",
        "motion": "motion-5efa4715d87ef8e9",
        "noop": "noop-c44b7f3a757ab78e",
    },
    "paper": {
        "data": "data-0d146e2173d07751",
        "features": "features-b759594d3b385fa2",
        "voxels": "voxels-99ecee1e35ad1ac6",
        "semantic": "semantic-b2c936b44727b52f",
        "structure": "structure-30eaa66765eb7a1a",
        "motion": "motion-9702e2d8a42c1d49",
        "noop": "noop-c44b7f3a757ab78e",
    },
}


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
    assert changed({"motion.mask_ratio": 0.5}) == {"motion"}
    assert changed({"structure.dropout": 0.3}) == {"structure", "motion"}
    assert changed({"voxels.subject": 1}) == {"voxels", "semantic", "structure", "motion"}
    assert changed({"dataset.noise": 0.5}) == {"data", "features", "voxels", "semantic", "structure", "motion"}


def test_a_seed_changes_what_is_trained_and_nothing_else() -> None:
    assert changed({}, seed=1) == {"semantic", "structure", "motion", "noop"}


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


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
