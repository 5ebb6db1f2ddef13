"""The three decoders trained on several subjects, with a first layer per subject."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.trainables.test_decoder_stages import (
    CLIPS,
    SPLIT,
    STAGES,
    VALIDATION,
    VOXELS,
    Interrupted,
    World,
    tiny,
)
from tests.trainables.test_on_workers import SMALL
from trainables import losses
from trainables.api.decoders import split_rows
from trainables.check_ray_train import check_under_ray_train
from trainables.config.decoders import TrainConfig
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, StageResult, StageTask
from trainables.networks.subject_layers import add_subject_layers, subject_layers, take_out_subject_layers
from trainables.stages import semantic
from trainables.step_memory import forecast

OTHER_VOXELS = 27
OWN = 12
"""Training clips of the judged subject."""
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("semantic", {}),
    ("semantic", {"semantic__linear_trunk": True}),
    ("structure", {}),
    ("motion", {}),
    ("motion", {"motion__kind": "per_frame_mlp"}),
    ("motion", {"motion__kind": "cmg_small_patch"}),
)


class Subjects(World):
    """A judged subject with few training clips, and another one with other voxels."""

    def __init__(self, folder: Path, *, own: int = OWN, others: int = 60, changed: bool = False) -> None:
        super().__init__(folder)
        torch.manual_seed(1)
        self.truth["other"] = self.truth["fmri"] @ torch.randn(VOXELS, OTHER_VOXELS) / 4
        split = ["train"] * own + ["withheld"] * (200 - own) + SPLIT[200:]
        fmri = self.truth["fmri"].clone()
        fmri[own:200] = 0.0
        if changed:
            fmri[:own] = torch.randn(own, VOXELS)
        theirs = ["excluded"] * (200 - others) + ["train"] * others + SPLIT[200:]
        files = {
            "voxels.safetensors": {"fmri": fmri},
            "other_1.safetensors": {"fmri": self.truth["other"]},
            "voxels.json": {"split": split, "others": {"1": {"split": theirs}}},
        }
        self.add("voxels", files)


@pytest.fixture
def world(tmp_path: Path) -> Subjects:
    return Subjects(tmp_path)


def pooled(**overrides: Any) -> TrialConfig:
    return tiny(voxels__subjects=[0, 1], **overrides)


def tuned(**overrides: Any) -> TrialConfig:
    values = {f"{stage}__fine_tune": {"epochs": 2, **overrides} for stage in STAGES}
    return pooled(**values, **{f"{stage}__train__epochs": 4 for stage in STAGES})


def written(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    return load_file(folder / "model.safetensors"), load_file(folder / "predictions.safetensors")


def ran(world: World, stage: str, config: TrialConfig, **arguments: Any) -> tuple[StageResult, Path]:
    """Run a stage, the structure decoder before the motion decoder."""
    if stage == "motion" and "structure" not in world.inputs:
        world.run("structure", config)
    return world.run(stage, config, **arguments)


@pytest.mark.parametrize(("stage", "overrides"), KINDS)
def test_without_clips_of_others_it_is_the_training_of_one_subject(
    tmp_path: Path, stage: str, overrides: dict[str, Any]
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    several, single = Subjects(tmp_path / "a", own=60, others=0), Subjects(tmp_path / "b", own=60, others=0)
    split = ["train"] * 60 + ["withheld"] * 140 + SPLIT[200:]
    single.add("voxels", {"voxels.json": {"split": split}, "voxels.safetensors": {"fmri": single.truth["fmri"]}})
    result, folder = ran(several, stage, pooled(**overrides))
    expected, alone = ran(single, stage, tiny(**overrides))
    (model, predictions), (its_model, expected_predictions) = written(folder), written(alone)
    assert {name: t.shape for name, t in model.items()} == {name: t.shape for name, t in its_model.items()}
    for (
        name,
        tensor,
    ) in expected_predictions.items():  # weights that change no output, such as biases of keys, may differ
        torch.testing.assert_close(predictions[name], tensor, rtol=1e-3, atol=1e-4)
    assert result.info["parameters"] == expected.info["parameters"]
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-3)


@pytest.mark.parametrize(("stage", "overrides"), KINDS)
def test_rows_of_others_are_trained_on(world: Subjects, stage: str, overrides: dict[str, Any]) -> None:
    result, folder = ran(world, stage, pooled(**overrides))
    model, _ = written(folder)
    assert all(OTHER_VOXELS not in value.shape for value in model.values())
    assert any(VOXELS in value.shape for value in model.values())
    world.add("voxels", {"other_1.safetensors": {"fmri": torch.randn(CLIPS, OTHER_VOXELS)}})
    again, _ = world.run(stage, pooled(**overrides))
    assert again.metrics != result.metrics


def test_the_contrastive_loss_is_told_which_rows_are_of_one_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise another subject's row of the same clip would be pushed away from its own target."""
    world = Subjects(tmp_path, own=200)
    seen: list[torch.Tensor | None] = []
    true_loss = losses.semantic_loss

    def loss(*args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(kwargs.get("clips"))
        return true_loss(*args, **kwargs)

    monkeypatch.setattr(semantic, "semantic_loss", loss)
    world.run("semantic", pooled())
    batches = [clips for clips in seen if clips is not None]
    assert any(len(set(clips.tolist())) < len(clips) for clips in batches)
    seen.clear()
    (tmp_path / "one").mkdir()
    World(tmp_path / "one").run("semantic", tiny())
    assert seen
    assert all(clips is None for clips in seen)


@pytest.mark.parametrize("stage", STAGES)
def test_held_out_rows_of_others_and_withheld_ones_change_nothing(world: Subjects, stage: str) -> None:
    """Neither would rows of withheld clips if the stage `voxels` had left them there."""
    _, folder = ran(world, stage, pooled())
    theirs, own = world.truth["other"].clone(), world.truth["fmri"].clone()
    theirs[200:] = 100.0
    own[OWN:200] = 100.0
    world.add("voxels", {"other_1.safetensors": {"fmri": theirs}, "voxels.safetensors": {"fmri": own}})
    _, again = world.run(stage, pooled())
    for file in ("model.safetensors", "predictions.safetensors"):
        assert (folder / file).read_bytes() == (again / file).read_bytes()


def test_galleries_and_controls_are_of_all_clips_that_are_trained_on(tmp_path: Path) -> None:
    world = Subjects(tmp_path, own=12, others=150)  # theirs are clips 50 to 199
    result, _ = world.run("semantic", pooled())
    assert result.metrics["retrieval_chance_large_top10"] == pytest.approx(10 / (10 + 12 + 150))
    seen = torch.cat((torch.arange(12), torch.arange(50, 200)))
    mean = world.truth["condition"][seen, 1:].mean(0)
    error = (world.truth["condition"][VALIDATION, 1:] - mean).square().mean().item()
    assert result.metrics["projection_mse_mean"] == pytest.approx(error)


def test_validation_clips_that_are_trained_on_are_those_of_all_subjects(world: Subjects) -> None:
    last = {
        f"structure__train__{name}": value for name, value in {"rows": "train_and_validation", "keep": "last"}.items()
    }
    before, _ = world.run("structure", pooled(**last))
    changed = world.truth["other"].clone()
    changed[VALIDATION] = 1.0
    world.add("voxels", {"other_1.safetensors": {"fmri": changed}})
    after, _ = world.run("structure", pooled(**last))
    assert before.metrics != after.metrics
    result, _ = world.run("semantic", pooled(**{name.replace("structure", "semantic"): v for name, v in last.items()}))
    assert result.metrics["retrieval_chance_large_top10"] == pytest.approx(10 / (10 + OWN + 60))


@pytest.mark.parametrize("config", [pooled(), tuned(), pooled(profile="released_code")])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_training_goes_on_bit_equal(world: Subjects, stage: str, config: TrialConfig) -> None:
    for interrupted in (1, 2, 3):

        def stop(epoch: int, metrics: Mapping[str, float], at: int = interrupted) -> None:
            if epoch == at:
                raise Interrupted

        if interrupted == 1:
            whole, folder = ran(world, stage, config)
        if interrupted == len(whole.history):
            continue
        name = f"resumed-{interrupted}"
        with pytest.raises(Interrupted):
            world.run(stage, config, identity=name, report=stop)
        resumed, again = world.run(stage, config, identity=name)
        assert resumed == whole
        for file in ("model.safetensors", "predictions.safetensors"):
            assert (folder / file).read_bytes() == (again / file).read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_fine_tuning_of_the_first_layer_leaves_what_others_have_trained(tmp_path: Path, stage: str) -> None:
    """Before the last epochs own clips play no part, so what they cannot change is the same whatever they are."""
    weights: dict[tuple[bool, str], dict[str, torch.Tensor]] = {}
    for changed in (False, True):
        (tmp_path / str(changed)).mkdir()
        world = Subjects(tmp_path / str(changed), changed=changed)
        for kind in ("first_layer", "all"):
            result, folder = ran(world, stage, tuned(weights=kind))
            weights[changed, kind] = written(folder)[0]
            assert len(result.history) == 4
            assert int(result.info["best_epoch"]) in (3, 4)
    first, second = weights[False, "first_layer"], weights[True, "first_layer"]
    differing = {name for name in first if not torch.equal(first[name], second[name])}
    reads_voxels = {name for name, value in first.items() if value.dim() == 2 and value.shape[1] == VOXELS}
    assert len(reads_voxels) == 1
    prefix = reads_voxels.copy().pop().removesuffix("weight")
    assert differing == {f"{prefix}weight", f"{prefix}bias"}
    assert len({n for n in first if not torch.equal(weights[False, "all"][n], weights[True, "all"][n])}) > 2


def test_before_fine_tuning_no_epoch_is_kept_and_no_patience_runs_out(world: Subjects) -> None:
    config = tiny(
        voxels__subjects=[0, 1],
        structure__train__epochs=8,
        structure__train__patience=1,
        structure__fine_tune__epochs=3,
    )
    result, _ = world.run("structure", config)
    assert len(result.history) >= 7  # the sixth is the first that counts
    assert int(result.info["best_epoch"]) >= 6


def test_rows_at_a_time_make_no_difference_but_rounding(world: Subjects) -> None:
    whole, _ = world.run("structure", tuned())
    parts, _ = world.run("structure", _in_parts(tuned()))
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-4)


def _in_parts(config: TrialConfig) -> TrialConfig:
    train = config.structure.train.model_copy(update={"micro_batch": 5})
    return config.model_copy(update={"structure": config.structure.model_copy(update={"train": train})})


def test_a_network_that_names_no_layers_is_refused_and_one_that_does_has_one_per_subject() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.Linear(4, 3)

        def forward(self, fmri: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.read(fmri)
            return hidden

    class Named(Plain):
        @property
        def voxel_layers(self) -> tuple[nn.Linear, ...]:
            return (self.read,)

    with pytest.raises(ValueError, match=r"Plain does not say which layers read voxels.*`voxel_layers`"):
        add_subject_layers(Plain(), [5], init="torch")
    network = Named()
    before = network.read
    add_subject_layers(network, [5, 2], init="xavier")
    (layers,) = subject_layers(network)
    assert layers.own is before
    fmri = [torch.randn(1, voxels) for voxels in (4, 5, 2)]
    for number, linear in enumerate(layers.layers):
        blocks = [values if place == number else torch.zeros_like(values) for place, values in enumerate(fmri)]
        column = torch.eye(3)[number : number + 1]
        torch.testing.assert_close(layers(torch.cat((*blocks, column), dim=1)), linear(fmri[number]))
    torch.testing.assert_close(layers(fmri[0]), before(fmri[0]))
    needed = forecast(network, (torch.randn(8, 14),), TrainConfig(device="cpu"))
    assert needed.total > forecast(Named(), (torch.randn(8, 4),), TrainConfig(device="cpu")).total
    take_out_subject_layers(network)
    assert network.read is before


def test_rows_for_a_training_of_ones_own_are_of_one_subject(world: Subjects) -> None:
    task = StageTask(pooled(), 0, world.inputs, Context(world.folder, world.runs.checkpoints("x")))
    with pytest.raises(ValueError, match="split_rows reads the rows of one subject"):
        split_rows(task, "latents")


@pytest.mark.long
def test_others_help_a_subject_with_few_clips(tmp_path: Path) -> None:
    """Both subjects are linear in eight causes, and twelve clips do not tell 96 latent values of them."""
    longer = {"structure__train__epochs": 20, "structure__dropout": 0.0, "structure__sparsify__voxel_fraction": 0.0}
    world = Subjects(tmp_path, others=200)
    together, _ = world.run("structure", pooled(**longer))
    world.add("voxels", {"voxels.json": {"split": ["train"] * OWN + ["withheld"] * 188 + SPLIT[200:]}})
    alone, _ = world.run("structure", tiny(**longer))
    assert together.metrics["test_latent_mse"] < 0.8 * alone.metrics["test_latent_mse"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_it_is_the_same_under_ray_train(stage: str, tmp_path: Path) -> None:
    config = {
        **SMALL,
        "dataset.subjects": 3,
        "voxels.subjects": [0, 1, 2],
        "voxels.own_clips": 6,
        "voxels.window": 1,
        f"{stage}.fine_tune.epochs": 1,
    }
    check_under_ray_train(stage, resolve(config), folder=tmp_path, ranks=["retrieval", "test_retrieval"])
