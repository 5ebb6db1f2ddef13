"""The motion stage: decodes a video of latents from the decoded first frame and the fMRI.

In training, the network sees the true past of every frame (teacher forcing). It is evaluated by its roll-out from the
structure decoder's first frame.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from trainables.config.decoders import MotionConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.kinds import of_kind
from trainables.loop import Job, pick_device
from trainables.losses import latent_mse
from trainables.networks.masks import draw_masks
from trainables.networks.motion import MotionGenerator, NextFrameGenerator, PerFrameMlps
from trainables.networks.small_patches import SmallPatchGenerator
from trainables.randomness import Streams
from trainables.stages.decoding import (
    BATCH,
    DecoderLearner,
    SplitRows,
    TrainedOn,
    finish,
    has_imported_weights,
    held_out,
    in_batches,
    make_job,
    read_rows,
    read_tensors,
    train_unless_solved,
    untrained,
)
from trainables.stages.solved import RIDGE, solved_motion


class MotionLearner(DecoderLearner):
    """The metrics of all kinds of motion decoders: errors of the latents of frames 2 to F."""

    from_true_first = False
    """Whether `true_first_mse` is among them."""

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows."""
        raise NotImplementedError

    def video(self, rows: SplitRows) -> Tensor:
        """Return the decoded videos of `rows`, [rows, F, c, h, w]."""
        raise NotImplementedError

    def teacher_forced(self, rows: SplitRows) -> Tensor:
        """Return frames 2 to F of `rows`, each decoded from its true past."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return self.metrics(self.watched)

    @torch.no_grad()
    def metrics(self, rows: SplitRows) -> dict[str, float]:
        """Return the errors of the roll-out and of single steps on `rows`."""
        target = rows.features["latents"][:, 1:]
        errors = {
            "rollout_mse": latent_mse(self.video(rows)[:, 1:], target).item(),
            "teacher_forced_mse": latent_mse(self.teacher_forced(rows), target).item(),
        }
        if self.from_true_first:
            true = replace(rows, features={**rows.features, "decoded_first": rows.features["latents"][:, 0]})
            errors["true_first_mse"] = latent_mse(self.video(true)[:, 1:], target).item()
        return errors

    def controls(self, rows: SplitRows) -> dict[str, float]:
        """Return the errors of repeating the decoded first frame, and of the mean training video."""
        target = rows.features["latents"][:, 1:]
        mean = self.train.features["latents"][:, 1:].mean(0)
        static = rows.features["decoded_first"][:, None]
        return {
            "rollout_mse_static": (target - static).square().mean().item(),
            "rollout_mse_mean": (target - mean).square().mean().item(),
        }


class NextFrameLearner(MotionLearner):
    """Trains a network that predicts each frame from its past by eq. 9, with sparse causal masks."""

    model: NextFrameGenerator

    def __init__(
        self, config: MotionConfig, rows: Mapping[str, SplitRows], job: Job, *, model: NextFrameGenerator
    ) -> None:
        super().__init__(model, rows, config.sparsify, job)
        self.config = config

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return eq. 9 on training rows: frames 2 to F are predicted from frames 1 to F-1."""
        latents = self.train.features["latents"][self.clips(rows)]
        inputs, target = latents[:, :-1], latents[:, 1:]
        mask = self._mask(inputs, streams)
        return latent_mse(forward(inputs, self.fmri(rows, streams), mask), target)

    def video(self, rows: SplitRows) -> Tensor:
        """Roll out from the decoded first frames of `rows`."""
        return in_batches(self.model.roll_out, rows.features["decoded_first"], rows.fmri, size=BATCH)

    def teacher_forced(self, rows: SplitRows) -> Tensor:
        """Return single-step predictions of `rows` from the true past frames."""
        return in_batches(self.model, rows.features["latents"][:, :-1], rows.fmri, size=BATCH)

    def _mask(self, inputs: Tensor, streams: Streams) -> Tensor:
        batch, frames = inputs.shape[:2]
        if self.config.mask_refresh == "run":
            batch, generator = 1, streams.lasting("mask")
        else:
            generator = streams["mask"]
        return draw_masks(self.config, frames=frames, batch=batch, generator=generator).to(inputs.device)


def _cmg(config: MotionConfig, rows: Mapping[str, SplitRows], job: Job) -> MotionLearner:
    voxels, video = _sizes(rows)
    model = untrained(job, lambda: MotionGenerator(config, voxels=voxels, video=video))
    return NextFrameLearner(config, rows, job, model=model)


def _small_patch(config: MotionConfig, rows: Mapping[str, SplitRows], job: Job) -> MotionLearner:
    """Return the learner of a network that has initial weights of its own, whatever `motion.train.init` says."""
    voxels, video = _sizes(rows)
    with job.streams(0).as_default("init"):
        model = SmallPatchGenerator(config, voxels=voxels, video=video)
    return NextFrameLearner(config, rows, job, model=model)


def _sizes(rows: Mapping[str, SplitRows]) -> tuple[int, tuple[int, ...]]:
    """Return the number of voxels and the shape [F,c,h,w] of a latent video."""
    return rows["train"].fmri.shape[1], tuple(rows["train"].features["latents"].shape[1:])


class PerFrameLearner(MotionLearner):
    """Trains `PerFrameMlps`: one MLP per frame, without access to other frames or the decoded first frame."""

    def __init__(self, config: MotionConfig, rows: Mapping[str, SplitRows], job: Job) -> None:
        voxels, video = _sizes(rows)
        model = untrained(job, lambda: PerFrameMlps(config, voxels=voxels, video=video))
        super().__init__(model, rows, config.sparsify, job)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the latent error of all frames on training rows."""
        return latent_mse(forward(self.fmri(rows, streams)), self.train.features["latents"][self.clips(rows)])

    def video(self, rows: SplitRows) -> Tensor:
        """Decode every frame of `rows`."""
        return in_batches(self.model, rows.fmri, size=BATCH)

    def teacher_forced(self, rows: SplitRows) -> Tensor:
        """Return the same as `video`, because these networks use no past frames."""
        return self.video(rows)[:, 1:]


class FirstFrameLearner(MotionLearner):
    """Trains any network from the first latent [B,c,h,w] and the fMRI [B,voxels] to the video [B,F,c,h,w]."""

    def __init__(
        self,
        config: MotionConfig,
        rows: Mapping[str, SplitRows],
        job: Job,
        *,
        network_of: Callable[[SplitRows], nn.Module],
    ) -> None:
        super().__init__(untrained(job, lambda: network_of(rows["train"])), rows, config.sparsify, job)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the latent error of frames 2 to F on training rows, each video decoded from its true first frame."""
        latents = self.train.features["latents"][self.clips(rows)]
        return latent_mse(forward(latents[:, 0], self.fmri(rows, streams))[:, 1:], latents[:, 1:])

    def video(self, rows: SplitRows) -> Tensor:
        """Decode the videos of `rows` from their decoded first frames."""
        return in_batches(self.model, rows.features["decoded_first"], rows.fmri, size=BATCH)

    def teacher_forced(self, rows: SplitRows) -> Tensor:
        """Return frames 2 to F of `rows`, decoded from the true first frame."""
        return in_batches(self.model, rows.features["latents"][:, 0], rows.fmri, size=BATCH)[:, 1:]


def _ridge_learner(config: MotionConfig, rows: Mapping[str, SplitRows], job: Job) -> FirstFrameLearner:
    return FirstFrameLearner(config, rows, job, network_of=lambda _: solved_motion(config, rows))


LearnerFactory: TypeAlias = Callable[[MotionConfig, Mapping[str, SplitRows], Job], MotionLearner]
"""From the section `motion`, the rows of each split and the job of training to an untrained learner."""
LEARNERS: Mapping[str, LearnerFactory] = {
    "cmg": _cmg,
    "cmg_small_patch": _small_patch,
    "per_frame_mlp": PerFrameLearner,
    RIDGE: _ridge_learner,
}
"""`motion.kind` to the learner of that kind."""


def _with_decoded_first(task: StageTask, rows: SplitRows) -> SplitRows:
    """Return held-out `rows` with the first latents that the structure decoder predicted."""
    decoded = read_tensors(task.inputs["structure"].path("predictions.safetensors"), ("first_latent", "index"))
    position = {int(clip): i for i, clip in enumerate(decoded["index"])}
    first = decoded["first_latent"][[position[int(clip)] for clip in rows.index]].to(rows.fmri.device)
    return replace(rows, features={**rows.features, "decoded_first": first})


def motion_rows(task: StageTask, *, device: torch.device, trained_on: TrainedOn = "train") -> dict[str, SplitRows]:
    """Return the rows of each split with the feature `latents` [rows,F,c,h,w]; held-out ones with `decoded_first`.

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
    """
    rows = read_rows(task, ("latents",), device=device, trained_on=trained_on)
    return rows | {name: _with_decoded_first(task, rows[name]) for name in ("validation", "test")}


def run(task: StageTask) -> StageResult:
    """Train the motion decoder and write its roll-outs of the held-out clips.

    Writes `model.safetensors` and `predictions.safetensors` (`latents` [n,F,c,h,w], `index` [n]).

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    kind = task.config.motion.kind
    return train_motion_learner(task, of_kind(LEARNERS, kind, field="motion.kind"), solved=kind == RIDGE)


def train_motion_learner(task: StageTask, learner_of: LearnerFactory, *, solved: bool = False) -> StageResult:
    """Train the learner that `learner_of` returns as the section `motion.train` says, and write what `run` writes.

    With `solved`, its network has its final weights already: nothing is trained.
    """
    config = task.config.motion
    rows = motion_rows(task, device=pick_device(config.train.device), trained_on=config.train.rows)
    job = make_job(task, "motion", config.train, monitor=config.monitor, width=config.width, solved=solved)
    learner = learner_of(config, rows, job)
    learner.from_true_first = config.monitor == "true_first_mse"
    solved = solved or has_imported_weights(task, "motion", learner.model)
    progress = train_unless_solved(learner, job, device=rows["train"].fmri.device, solved=solved)
    metrics = held_out(lambda held: {**learner.metrics(held), **learner.controls(held)}, rows)
    with torch.no_grad():
        latents = torch.cat([learner.video(rows[name]) for name in ("validation", "test")])
    index = torch.cat((rows["validation"].index, rows["test"].index))
    return finish(task, learner, progress, metrics, {"latents": latents, "index": index})
