"""Identities are promises: literal ones are pinned here. If one changes, CHANGELOG.md must say why."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

from trainables import graph
from trainables.config.base import Config
from trainables.config.data import DATASET_CONFIGS, PhantomConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.config.video import GeneratorConfig
from trainables.graph import ancestors, depends_on, needed_stages, stage_runs
from trainables.identity import CIRCUMSTANCE, SINCE, canonical, decides, decisive_names, digest, identity_fields
from trainables.stage_table import STAGES, VIDEO_STAGES

GOLDEN = {
    "phantom": {
        "clips": "clips-53b7f7da90894ae8",
        "data": "data-9a955d35b6be00e6",
        "features": "features-d08e09ec9f2e63e9",
        "layers": "layers-3b1bab6de514555f",
        "see": "see-d51499f2cb173e7c",
        "unsee": "unsee-8bc544fda0868665",
        "gan": "gan-5429069bca792607",
        "autoencoder": "autoencoder-9e4e89565561b990",
        "map_inverse": "map_inverse-8b48d1fb294e7f57",
        "voxels": "voxels-6f27d1c10e663da3",
        "semantic": "semantic-948387c93a51cb44",
        "structure": "structure-26d225808bfa04f3",
        "motion": "motion-e8802cc98cf2bcad",
        "controls": "controls-b09a5ce520194920",
        "library": "library-dc34093c31485910",
        "control_scores": "control_scores-a03fc10e3c4051f7",
        "reconstruct": "reconstruct-8bdf23a32d714a07",
        "evaluate": "evaluate-1fe9ac5187b90e9c",
        "importance": "importance-f878e5488e8642a7",
        "encoding_accuracy": "encoding_accuracy-6d0f24db6b46be74",
        "energy": "energy-db154210dc7c1444",
        "premask": "premask-c6f0b9d205bf0867",
        "tokens": "tokens-dfb1e170d3159887",
        "cotrain": "cotrain-62c88750f55dad68",
        "mindvideo": "mindvideo-c574cd807abbeb0a",
        "han": "han-13a2226735fda827",
        "wen": "wen-a4357cc7244835ce",
        "encode": "encode-beacd509ea26db8e",
        "nishimoto": "nishimoto-92bc212fa46b0674",
        "retrieve": "retrieve-2b29394f8abe0e97",
        "noop": "noop-c44b7f3a757ab78e",
    },
    "paper": {
        "clips": "clips-53b7f7da90894ae8",
        "data": "data-9a955d35b6be00e6",
        "features": "features-c3b6c301093f3522",
        "layers": "layers-3b1bab6de514555f",
        "see": "see-c6039aff8c61c946",
        "unsee": "unsee-4dec9bb84643ad1b",
        "gan": "gan-82bb8e0ff4cb7043",
        "autoencoder": "autoencoder-94a6622f3d912ee9",
        "map_inverse": "map_inverse-8b48d1fb294e7f57",
        "voxels": "voxels-6f27d1c10e663da3",
        "semantic": "semantic-63b9a41a88df21e6",
        "structure": "structure-248b213a487347d9",
        "motion": "motion-4f55e1eaa3bb0081",
        "controls": "controls-a52733f97be51a86",
        "library": "library-6b9c99a9e1bce62e",
        "control_scores": "control_scores-6d37ea59573e0b8d",
        "reconstruct": "reconstruct-545c6040ff576a71",
        "evaluate": "evaluate-091de82d604899f0",
        "importance": "importance-aa8380c77bc807b5",
        "encoding_accuracy": "encoding_accuracy-bf857cc08176909c",
        "energy": "energy-5f41ecded64688e9",
        "premask": "premask-2a333627cfcb5e80",
        "tokens": "tokens-f45eabb423b00884",
        "cotrain": "cotrain-05b69ac2ae205794",
        "mindvideo": "mindvideo-49481d71a18b3180",
        "han": "han-44012b0df9194cda",
        "wen": "wen-a4357cc7244835ce",
        "encode": "encode-c9b495f732bc860b",
        "nishimoto": "nishimoto-b745008721dc6827",
        "retrieve": "retrieve-dc46c8e6e9191ca2",
        "noop": "noop-c44b7f3a757ab78e",
    },
}

WITHOUT_FILES = {*STAGES} - {"given"}
"""What can be planned without videos from elsewhere."""
EVERYTHING = WITHOUT_FILES - {"noop"}
OF_CLIPS = {"clips", "features", "layers", "energy"}
"""What knows of no brain."""
OF_FRAMES = {"autoencoder", "map_inverse"}
"""What is trained on frames of the training split, for all subjects at once."""


def identities(overrides: dict[str, object], seed: int = 0) -> dict[str, str]:
    runs = stage_runs(resolve(overrides), seed=seed, targets=WITHOUT_FILES)
    return {run.stage: run.identity for run in runs}


def changed(overrides: dict[str, object], seed: int = 0) -> set[str]:
    before, after = identities({}), identities(overrides, seed)
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize("preset", GOLDEN)
def test_golden_identities(preset: str) -> None:
    assert identities({"preset": preset}) == GOLDEN[preset]


def test_a_field_changes_its_stage_and_what_builds_on_it() -> None:
    assert changed({"motion.mask_ratio": 0.5}) == {"motion", "reconstruct", "evaluate", "retrieve", "importance"}
    assert changed({"structure.dropout": 0.3}) == {
        "structure",
        "motion",
        "reconstruct",
        "evaluate",
        "retrieve",
        "importance",
    }
    assert changed({"voxels.subject": 1}) == EVERYTHING - OF_CLIPS - {"data", *OF_FRAMES}
    assert changed({"dataset.frames": 4}) == EVERYTHING


BRAINS = {"subjects": 1, "voxels": 300, "noise": 0.5, "repeats": 3, "rest_tr": 0, "block_clips": 10}
"""Fields of the phantom that decide what brains answer and how clips are split, and nothing else."""
CLIPS = {
    "scene_clips": 5,
    "seed": 1,
    "unseen_combinations": True,
    "frames": 4,
    "resolution": 32,
    "train_clips": 100,
    "validation_clips": 10,
    "test_clips": 10,
}


@pytest.mark.parametrize("field", BRAINS)
def test_other_brains_leave_clips_and_features_as_they_are(field: str) -> None:
    assert changed({f"dataset.{field}": BRAINS[field]}) == EVERYTHING - OF_CLIPS
    assert not depends_on("clips", f"dataset.{field}")
    assert depends_on("data", f"dataset.{field}")


@pytest.mark.parametrize("field", CLIPS)
def test_other_clips_change_everything(field: str) -> None:
    assert changed({f"dataset.{field}": CLIPS[field]}) == EVERYTHING
    assert depends_on("clips", f"dataset.{field}")


def test_every_field_of_every_data_set_decides_something() -> None:
    for model in DATASET_CONFIGS.values():
        for name, info in model.model_fields.items():
            decided = {stage for stage in ("clips", "data") if decides(info, stage)}
            assert decided or name == "path", f"{model.__name__}.{name} decides nothing"
    assert PhantomConfig.model_fields.keys() == {"kind", *BRAINS, *CLIPS}


def test_captions_and_split_of_a_folder_are_apart(tmp_path: Path) -> None:
    (tmp_path / "captions.json").write_text('["a"]')
    np.save(tmp_path / "fmri.npy", np.zeros((1, 2)))
    folder: dict[str, object] = {"dataset.kind": "folder", "dataset.path": str(tmp_path)}
    before = identities(folder)

    def changes() -> set[str]:
        after = identities(folder)
        return {stage for stage in ("clips", "features", "data", "voxels") if after[stage] != before[stage]}

    np.save(tmp_path / "fmri.npy", np.ones((1, 2)))
    assert changes() == {"data", "voxels"}
    (tmp_path / "captions.json").write_text('["b"]')
    assert changes() == {"clips", "features", "data", "voxels"}
    before = identities(folder)
    folder |= {"dataset.block_clips": 3, "dataset.seed": 4, "dataset.test_fraction": 0.3}
    assert changes() == {"data", "voxels"}


def test_an_ablated_feature_retrains_nothing() -> None:
    assert changed({"reconstruct.semantic": "noise"}) == {"reconstruct", "evaluate", "retrieve"}
    assert changed({"generator.guidance": 1.0}) == {
        "controls",
        "control_scores",
        "reconstruct",
        "mindvideo",
        "evaluate",
        "retrieve",
    }
    assert changed({"evaluate.shuffles": 10}) == {"control_scores", "evaluate"}


def test_a_named_set_of_settings_is_the_settings_it_names() -> None:
    assert changed({"generation": "paper"}) == {
        "controls",
        "control_scores",
        "reconstruct",
        "mindvideo",
        "evaluate",
        "retrieve",
    }
    assert identities({"generation": "paper"}) == identities(
        {f"generator.{name}": value for name, value in GeneratorConfig().model_dump().items()}
    )


def test_a_chosen_input_is_part_of_the_identity_only_if_it_is_chosen() -> None:
    for stage, own, settings in (
        ("han", "autoencoder", {"system": "han_like", "han.vae": "global"}),
        ("wen", "map_inverse", {"system": "wen2018", "wen.inverse": "trained"}),
    ):
        without, chosen, other_seed = (
            {run.stage: run for run in stage_runs(resolve(overrides), seed=seed, targets=[stage])}
            for overrides, seed in (({"system": settings["system"]}, 1), (settings, 1), (settings, 2))
        )
        assert own not in without
        assert chosen[stage].inputs[own] == chosen[own].identity
        assert chosen[stage].seed == 0
        assert len({each[stage].identity for each in (without, chosen, other_seed)}) == 3
        trained = {name: chosen[name].identity for name in chosen if name not in (own, stage)}
        assert all(without[name].identity == identity for name, identity in trained.items())


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_chosen_stage_needs_the_choosing_one_has_anyway(stage: str) -> None:
    for each in STAGES[stage].chosen:
        needed = ancestors([each.stage], systems=["mindanimator"])
        assert {*needed} - {each.stage} <= {*needed_stages(resolve({}), [stage])}


def test_a_seed_changes_what_is_trained_and_nothing_else() -> None:
    trained = {
        "semantic",
        "structure",
        "motion",
        "gan",
        "see",
        "unsee",
        "autoencoder",
        "map_inverse",
        "premask",
        "tokens",
        "cotrain",
        "mindvideo",
        "noop",
    }
    assert changed({}, seed=1) == {*trained, "reconstruct", "evaluate", "retrieve", "importance"}


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
    assert list(decisive_names(After(kind="mlp"))) == ["rate", "window", "kind"], "all of them can be swept"
    assert identity_fields(After()) == {"rate": 0.5, "kind": "ridge"}, "the new default is not what was done before"
    assert identity_fields(After(window=(1, 2), kind="mlp")) == {"rate": 0.5, "window": [1, 2]}


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"b":1}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


@pytest.mark.parametrize("preset", ["phantom", "paper"])
def test_what_one_trial_overrides_is_no_default_of_the_next(preset: str) -> None:
    """Defaults of named sets are merged once for all trials of a plan."""
    before = resolve({"preset": preset})
    changed = resolve({"preset": preset, "motion.depth": 7, "generator.steps": 3, "features.resolution": 256})
    assert (changed.motion.depth, changed.generator.steps, changed.features.resolution) == (7, 3, 256)
    assert resolve({"preset": preset}) == before


def test_each_stage_is_visited_once_whatever_leads_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    inputs_of = graph.inputs_of

    def counted(stage: str, system: str, config: TrialConfig | None = None) -> tuple[str, ...]:
        calls.append(stage)
        return inputs_of(stage, system, config)

    monkeypatch.setattr(graph, "inputs_of", counted)
    systems = tuple(VIDEO_STAGES)
    found = graph.ancestors(["evaluate"], systems=systems)
    assert len(calls) == len(found) * len(systems), "two million calls before, for a table of nine systems"
