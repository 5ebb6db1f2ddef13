"""Reconstructions and controls, by a Stable Diffusion of v1-5's shape with random weights, named in the config."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from storage.memory import MemoryStore
from storage.runs import Artifacts, Checkpoints
from tests.trainables.dataset_tools import Folder
from tests.trainables.stable_diffusion_folder import WIDTH, build
from trainables.backbones.load import load_generator, load_text_encoder, load_vae
from trainables.config.trial import TrialConfig, resolve
from trainables.context import Context, EpochReport, StageResult, StageTask, silent
from trainables.networks.motion import MotionGenerator, PerFrameMlps
from trainables.stages import controls, reconstruct
from trainables.stages.feeding import Fed, Feeder, partners
from trainables.stages.generation import NotFiniteError, read_prompts

FRAMES, TOKENS, VOXELS = 3, 6, 12
SPLIT = ["train"] * 6 + ["dropped"] + ["validation"] * 3 + ["test"] * 5
HELD_OUT = [7, 8, 9, 10, 11, 12, 13, 14]
STAGES = {"reconstruct": reconstruct.run, "controls": controls.run}


class World:
    """The folder with the networks, and what the stages before would have made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.networks = build(folder / "sd")
        torch.manual_seed(1)
        clips, width = len(SPLIT), WIDTH
        begin = torch.randn(width).expand(clips, 1, -1)
        self.condition = torch.cat((begin, torch.randn(clips, TOKENS - 1, width)), dim=1)
        self.latents, self.fmri = torch.randn(clips, FRAMES, 4, 8, 8), torch.randn(clips, VOXELS)
        index = torch.tensor(HELD_OUT)
        self.decoded = {
            "semantic": {"condition": torch.randn(8, TOKENS - 1, width), "index": index},
            "structure": {"first_latent": torch.randn(8, 4, 8, 8), "index": index},
        }
        self.motion = MotionGenerator(self.config().motion, voxels=VOXELS, video=(FRAMES, 4, 8, 8)).eval()
        with torch.no_grad():
            video = self.motion.roll_out(self.decoded["structure"]["first_latent"], self.fmri[index])
        self.decoded["motion"] = {"latents": video, "index": index}
        self.inputs = {name: Folder(folder / name) for name in ("features", "voxels", *self.decoded)}
        for made in self.inputs.values():
            made.folder.mkdir()
        save_file({"condition": self.condition, "latents": self.latents}, self.path("features", "features"))
        (self.inputs["features"].path("features.json")).write_text(json.dumps({"condition_tokens": TOKENS}))
        save_file({"fmri": self.fmri}, self.path("voxels", "voxels"))
        (self.inputs["voxels"].path("voxels.json")).write_text(json.dumps({"split": SPLIT}))
        for name, tensors in self.decoded.items():
            save_file(tensors, self.path(name, "predictions"))
        save_file(self.motion.state_dict(), self.path("motion", "model"))

    def path(self, stage: str, name: str) -> Path:
        return self.inputs[stage].path(f"{name}.safetensors")

    def config(self, **overrides: Any) -> TrialConfig:
        motion = {"width": 8, "attention_width": 8, "heads": 2, "ffn_width": 8, "encoder_hidden": 8, "mlp_hidden": 8}
        small = {
            "features.latent_size": 8,
            "motion.patch_size": 4,
            **{f"motion.{name}": value for name, value in motion.items()},
            "backbones.stable_diffusion": str(self.networks),
            "generator.steps": 4,
            "generator.noise_timestep": 300,
            "generator.batch_clips": 2,
            "generator.validation_clips": 1,
            "generator.test_clips": 3,
        }
        return resolve({**small, **{name.replace("__", "."): value for name, value in overrides.items()}})

    def task(self, config: TrialConfig, seed: int = 0, report: EpochReport = silent, at: str = "out") -> StageTask:
        output = self.folder / at
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        checkpoints = Checkpoints(self.store, at, cache=self.folder / "cache")
        inputs = cast(Mapping[str, Artifacts], self.inputs)
        return StageTask(config, seed, inputs, Context(output, checkpoints, report))

    def run(self, stage: str, config: TrialConfig, **options: Any) -> tuple[StageResult, bytes]:
        task = self.task(config, **options)
        return STAGES[stage](task), (task.context.output / "videos.safetensors").read_bytes()

    def videos(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "out" / "videos.safetensors")

    def fed(self, seed: int = 0, **overrides: Any) -> Fed:
        task = self.task(self.config(**overrides), seed)
        device = torch.device("cpu")
        return Feeder(task, nothing=read_prompts(task, device=device)[1], device=device).block(slice(0, None))

    store: MemoryStore


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(built: World) -> Iterator[World]:
    built.store = MemoryStore()
    yield built
    built.networks = built.folder / "sd"


def test_what_is_written_and_that_it_is_written_again(world: World) -> None:
    result, first = world.run("reconstruct", world.config())
    made = world.videos()
    assert made["index"].tolist() == [7, 10, 11, 12]
    assert {name: (made[name].dtype, tuple(made[name].shape)) for name in ("videos", "plain")} == dict.fromkeys(
        ("videos", "plain"), (torch.uint8, (4, FRAMES, 64, 64, 3))
    )
    assert result.history == ({"clips": 2.0}, {"clips": 4.0})
    assert world.run("reconstruct", world.config())[1] == first
    assert world.run("reconstruct", world.config(), seed=1)[1] != first
    images = load_vae(str(world.networks)).decode(world.decoded["motion"]["latents"][3])
    expected = (images / 2 + 0.5).clamp(0, 1).movedim(1, -1) * 255
    assert (made["plain"][1].float() - expected).abs().max() <= 0.5001


def test_the_papers_procedure_runs_by_configuration_alone(world: World) -> None:
    steps = {"generator__inversion_steps": 2, "generator__steps": 2, "generator__validation_clips": 0}
    result, _ = world.run("reconstruct", world.config(generation="paper", **steps))
    assert world.videos()["index"].tolist() == [10, 11, 12]
    assert result.history[-1] == {"clips": 3.0}


def test_controls_are_what_the_truth_and_the_mean_would_give(world: World) -> None:
    world.run("controls", world.config())
    made = world.videos()
    assert made["index"].tolist() == [7, 10, 11, 12]
    assert made["mean_latent"].shape == (FRAMES, 64, 64, 3)
    truth = {f"reconstruct__{name}": "true" for name in ("semantic", "structure", "motion")}
    world.run("reconstruct", world.config(**truth))
    assert torch.equal(world.videos()["videos"], made["ceiling"])
    assert torch.equal(world.videos()["plain"], made["ceiling_plain"])


class Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on_where_it_was(world: World) -> None:
    seen: list[int] = []

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        raise Interrupted

    config = world.config(generator__test_clips=4)
    whole = world.run("reconstruct", config)
    with pytest.raises(Interrupted):
        world.run("reconstruct", config, at="again", report=stop)
    resumed = world.run("reconstruct", config, at="again", report=lambda epoch, metrics: seen.append(epoch))
    assert resumed == whole
    assert seen == [2, 3]


def test_a_checkpoint_holds_its_batch_alone(world: World) -> None:
    config = world.config(generator__test_clips=5)
    world.run("reconstruct", config)
    kept = stored_parts(world)
    assert [epoch for epoch, _ in kept] == [1, 2]
    assert [len(load_file(folder / "latents.safetensors")["latents"]) for _, folder in kept] == [2, 2]


def test_a_later_checkpoint_holds_the_batches_since_the_last_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config, due, seen = world.config(generator__test_clips=5), iter([False, True]), list[int]()
    whole = world.run("reconstruct", config)
    monkeypatch.setattr("trainables.keeping.Pace.due", lambda pace: next(due, False))

    def stop(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        world.run("reconstruct", config, at="again", report=stop)
    again = world.run("reconstruct", config, at="again", report=lambda epoch, metrics: seen.append(epoch))
    assert (again, seen) == (whole, [3])


def test_a_checkpoint_of_an_earlier_version_holds_all_batches(world: World, tmp_path: Path) -> None:
    config = world.config(generator__test_clips=5)
    seen: list[int] = []
    whole = world.run("reconstruct", config)
    old = Checkpoints(world.store, "again", cache=world.folder / "cache")
    parts = [load_file(folder / "latents.safetensors")["latents"] for _, folder in stored_parts(world)]
    save_file({"latents": torch.cat(parts)}, tmp_path / "latents.safetensors")
    old.save(2, tmp_path)
    again = world.run("reconstruct", config, at="again", report=lambda epoch, metrics: seen.append(epoch))
    assert (again, seen) == (whole, [3])


def stored_parts(world: World) -> tuple[tuple[int, Path], ...]:
    return Checkpoints(world.store, "out", cache=world.folder / "cache").stored()


def test_fewer_clips_than_asked_for_are_fine(world: World) -> None:
    overrides = {"generator__validation_clips": 50, "generator__test_clips": 0, "generator__noise_timestep": 0}
    assert world.run("reconstruct", world.config(**overrides))[0].info["clips"] == "3"
    with pytest.raises(ValueError, match=r"validation_clips and generator\.test_clips are both 0"):
        world.run("reconstruct", world.config(generator__validation_clips=0, generator__test_clips=0))


def test_decoded_features_are_fed_as_they_are(world: World) -> None:
    fed, rows = world.fed(), [0, 3, 4, 5]
    assert torch.equal(fed.latents, world.decoded["motion"]["latents"][rows])
    assert torch.equal(fed.conditions[:, 1:], world.decoded["semantic"]["condition"][rows])
    assert torch.equal(fed.conditions[:, 0], world.condition[[7, 10, 11, 12], 0])
    assert len(set(fed.seeds)) == 4
    fewer = world.fed(generator__test_clips=1)
    assert fewer.seeds == fed.seeds[:2], "a clip's noise does not depend on what else is made"


def test_what_stands_in_for_a_decoded_condition(world: World) -> None:
    clips = [7, 10, 11, 12]
    assert torch.equal(world.fed(reconstruct__semantic="true").conditions, world.condition[clips])
    nothing = load_text_encoder(str(world.networks)).encode([""], tokens=TOKENS)
    torch.testing.assert_close(world.fed(reconstruct__semantic="null").conditions, nothing.expand(4, -1, -1))
    noise = world.fed(reconstruct__semantic="noise").conditions
    assert torch.equal(noise[:, 0], world.condition[clips, 0])
    assert abs(noise[:, 1:].std().item() - 1) < 0.1
    assert torch.equal(noise[:2], world.fed(reconstruct__semantic="noise", generator__test_clips=1).conditions)


def test_what_stands_in_for_decoded_motion(world: World) -> None:
    first = world.decoded["structure"]["first_latent"][[0, 3, 4, 5]]
    static = world.fed(reconstruct__motion="static").latents
    assert torch.equal(static, first[:, None].repeat(1, FRAMES, 1, 1, 1))
    true = world.fed(reconstruct__motion="true").latents
    assert torch.equal(true[:, 0], first)
    assert torch.equal(true[:, 1:], world.latents[[7, 10, 11, 12], 1:])
    noise = world.fed(reconstruct__motion="noise").latents
    assert torch.equal(noise[:, 0], first)
    assert abs(noise[:, 1:].std().item() - 1) < 0.1


@pytest.mark.parametrize("kind", ["true", "noise", "shuffled"])
def test_motion_rolls_out_from_what_stands_in_for_the_structure(world: World, kind: str) -> None:
    latents = world.fed(reconstruct__structure=kind).latents
    expected = world.motion.roll_out(latents[:, 0], world.fmri[[7, 10, 11, 12]])
    torch.testing.assert_close(latents, expected)
    if kind == "true":
        assert torch.equal(latents[:, 0], world.latents[[7, 10, 11, 12], 0])
    else:
        assert not torch.equal(latents[:, 0], world.decoded["structure"]["first_latent"][[0, 3, 4, 5]])


def test_with_everything_shuffled_a_clip_is_fed_what_its_partner_would_be(world: World) -> None:
    config: dict[str, Any] = {"generator__validation_clips": 3, "generator__test_clips": 5}
    plain = world.fed(**config)
    everything = dict.fromkeys((f"reconstruct__{name}" for name in ("semantic", "structure", "motion")), "shuffled")
    shuffled = world.fed(**(config | everything))
    partner = [next(i for i in range(8) if torch.equal(plain.conditions[i], told)) for told in shuffled.conditions]
    assert sorted(partner) == list(range(8))
    assert all(i != other and (i < 3) == (other < 3) for i, other in enumerate(partner))
    torch.testing.assert_close(shuffled.latents, plain.latents[partner])
    motion = world.fed(**config, reconstruct__motion="shuffled").latents
    assert torch.equal(motion[:, 0], plain.latents[:, 0])
    assert not torch.allclose(motion[:, 1:], plain.latents[:, 1:])
    with pytest.raises(ValueError, match="at least two clips"):
        partners(torch.tensor([3]), seed=0)


def test_per_frame_networks_do_not_look_at_the_first_frame(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = world.config(motion__kind="per_frame_mlp")
    torch.manual_seed(2)
    model = PerFrameMlps(config.motion, voxels=VOXELS, video=(FRAMES, 4, 8, 8)).eval()
    other = world.folder / "per_frame"
    other.mkdir()
    save_file(model.state_dict(), other / "model.safetensors")
    monkeypatch.setitem(world.inputs, "motion", Folder(other))
    latents = world.fed(motion__kind="per_frame_mlp", reconstruct__structure="true").latents
    assert torch.equal(latents[:, 0], world.latents[[7, 10, 11, 12], 0])
    torch.testing.assert_close(latents[:, 1:], model(world.fmri[[7, 10, 11, 12]])[:, 1:])


def test_networks_that_are_missing_or_do_not_fit_are_named(world: World, tmp_path: Path) -> None:
    world.networks = Path(shutil.copytree(world.networks, tmp_path / "sd"))
    wide = build(tmp_path / "wide", width=48)
    shutil.rmtree(world.networks / "unet")
    with pytest.raises(ValueError, match=r"cannot load the unet from .*sd/unet: the folder lacks it"):
        world.run("reconstruct", world.config())
    shutil.copytree(wide / "unet", world.networks / "unet")
    with pytest.raises(ValueError, match="UNet takes conditions of width 48, but the features have 32"):
        world.run("reconstruct", world.config())
    shutil.rmtree(world.networks / "scheduler")
    with pytest.raises(ValueError, match=r"cannot load the scheduler from .*sd/scheduler"):
        load_generator(str(world.networks))


def test_another_latent_size_is_warned_of_and_other_channels_refused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    diffusion = load_generator(str(world.networks))
    diffusion.check(condition=32, channels=4, side=16)
    assert "trained on latents of side 8, but gets 16" in caplog.text
    with pytest.raises(ValueError, match="number of channels of 4, but the features have 3"):
        diffusion.check(condition=32, channels=3, side=8)


def test_a_video_that_is_not_finite_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {**world.decoded["motion"], "latents": world.decoded["motion"]["latents"].clone()}
    broken["latents"][4] = float("nan")
    other = world.folder / "broken"
    other.mkdir()
    save_file(broken, other / "predictions.safetensors")
    monkeypatch.setitem(world.inputs, "motion", Folder(other))
    with pytest.raises(NotFiniteError, match="video 3 has NaN"):
        world.run("reconstruct", world.config())
