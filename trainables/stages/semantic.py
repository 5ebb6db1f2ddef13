"""The semantic stage: decodes a CLIP embedding and a text condition from fMRI."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.augment import draw_variants
from trainables.config.decoders import SemanticConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, pick_device
from trainables.losses import semantic_loss
from trainables.metrics.retrieval import ranks
from trainables.networks.semantic import LOGIT_SCALE, SemanticDecoder
from trainables.randomness import Streams
from trainables.stages.decoding import (
    DecoderLearner,
    NetworkFactory,
    SplitRows,
    finish,
    has_imported_weights,
    held_out,
    make_job,
    predict,
    read_rows,
    stored_names,
    train_unless_solved,
    untrained,
)
from trainables.stages.solved import RIDGE, solved_semantic

_TOP = (1, 5, 10)
"""The k of top-k retrieval in the gallery of held-out clips."""
LARGE_TOP = (10, 100)
"""The k of top-k retrieval in the gallery of held-out and training clips, if it is larger (mind-animator.md C.2)."""
FEATURES = ("clip_image", "clip_text", "clip_image_variants", "clip_text_variants", "condition")


class SemanticLearner(DecoderLearner):
    """Trains a `SemanticDecoder`, or a network with the same outputs, by eq. 5."""

    def __init__(
        self,
        config: SemanticConfig,
        rows: Mapping[str, SplitRows],
        job: Job,
        *,
        network_of: NetworkFactory | None = None,
    ) -> None:
        """Build the network with `network_of`; by default a `SemanticDecoder`."""
        train_rows = rows["train"]
        build = partial(_network, config) if network_of is None else network_of
        super().__init__(untrained(job, lambda: build(train_rows)), rows, config.sparsify, job)
        self.config = config
        self.images = _candidates(train_rows.features, "clip_image", augmented=config.image_augmentation)
        self.texts = _candidates(train_rows.features, "clip_text", augmented=config.text_augmentation)
        self.conditions = _candidates(train_rows.features, "condition", augmented=config.text_augmentation)
        self.epoch = 0
        trained_on_validation = config.train.rows == "train_and_validation"
        self.distractors = len(train_rows) - (len(rows["validation"]) if trained_on_validation else 0)

    def begin_epoch(self, streams: Streams) -> None:
        """Draw the epoch's sparsification, and note its number."""
        super().begin_epoch(streams)
        self.epoch = streams.epoch

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return eq. 5 on training rows, CLIP targets drawn from their cached variants."""
        prediction, clips = forward(self.fmri(rows, streams)), self.clips(rows)
        image = self.images[clips, self._which(self.images, clips, streams, "image")]
        which = self._which(self.texts, clips, streams, "text")
        condition = self.conditions[clips, which if self.conditions.shape[1] > 1 else 0]
        target = self.texts[clips, which], image, condition[:, 1:]
        several = clips if self.train.subjects else None  # a subject alone has one row of each clip
        return semantic_loss(self.config, prediction, target, self.logit_scale, clips=several)

    def _which(self, candidates: Tensor, clips: Tensor, streams: Streams, kind: Literal["image", "text"]) -> Tensor:
        """Return the number of each row's candidate. By epoch, clips share views, whose crops may be shared, too."""
        if self.config.variants == "any":
            return draw_variants(candidates.shape[1], clips, streams[kind])
        begun_at = clips if kind == "text" else torch.zeros_like(clips)
        return (self.epoch - 1 + begun_at) % candidates.shape[1]

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return self.metrics(self.watched)

    @property
    def logit_scale(self) -> Tensor:
        """The scale of the contrastive loss; that of CLIP's start if the network learns none."""
        scale = getattr(self.model, "logit_scale", None)
        return torch.tensor(LOGIT_SCALE) if scale is None else scale

    @torch.no_grad()
    def metrics(self, rows: SplitRows) -> dict[str, float]:
        """Return retrieval, projection and alignment of `rows`, targets not augmented."""
        embedding, condition = self.model(rows.fmri)
        image, text = rows.features["clip_image"], rows.features["clip_text"]
        true_condition = rows.features["condition"][:, 1:]
        target = text, image, true_condition
        loss = semantic_loss(self.config, (embedding, condition), target, self.logit_scale)
        hits = {
            f"retrieval_{gallery}_{size}top{k}": (rank <= k).double().mean().item()
            for gallery, own in (("image", image), ("text", text))
            for size, more, top in self._galleries(gallery, len(rows))
            for rank in [ranks(embedding, torch.cat((own, more)), ties=self.config.retrieval_ties)]
            for k in top
        }
        return {
            **hits,
            "projection_mse": F.mse_loss(condition, true_condition).item(),
            "align_mse": F.mse_loss(embedding, text).item(),
            "validation_loss": loss.item(),
        }

    def controls(self, rows: SplitRows) -> dict[str, float]:
        """Return the chance levels on `rows`, and the error of the mean training condition."""
        mean = self.train.features["condition"][:, 1:].mean(0)
        chance = {
            f"retrieval_chance_{size}top{k}": min(k / (len(rows) + len(more)), 1.0)
            for size, more, top in self._galleries("image", len(rows))
            for k in top
        }
        return {**chance, "projection_mse_mean": (rows.features["condition"][:, 1:] - mean).square().mean().item()}

    def _galleries(self, kind: str, held_out: int) -> tuple[tuple[str, Tensor, tuple[int, ...]], ...]:
        """Return the small and the large gallery: part of the metric's name, additional clips, and values of k."""
        training = self.train.features[f"clip_{kind}"][: self.distractors]
        large = tuple(k for k in LARGE_TOP if k < held_out + len(training))
        return ("", training[:0], _TOP), ("large_", training, large)


def _network(config: SemanticConfig, rows: SplitRows) -> SemanticDecoder:
    _, clip_dim = rows.features["clip_text"].shape
    tokens, width = rows.features["condition"].shape[1:]
    return SemanticDecoder(config, voxels=rows.fmri.shape[1], clip_dim=clip_dim, condition=(tokens - 1, width))


def _candidates(features: Mapping[str, Tensor], name: str, *, augmented: bool) -> Tensor:
    """Return the candidates for each clip's target `name`, [N, K, ...].

    Candidates are the random crops of an image, or a caption and its variants (mind-animator.md B22, B24).
    """
    itself, variants = features[name][:, None], features.get(f"{name}_variants")
    if not augmented or variants is None or variants.shape[1] == 0:
        return itself
    return variants if name == "clip_image" else torch.cat((itself, variants), dim=1)


def run(task: StageTask) -> StageResult:
    """Train the semantic decoder and write its predictions for the held-out clips.

    Writes `model.safetensors` and `predictions.safetensors` (`embedding` [n,D], `condition` [n,L-1,C], `index` [n]).

    Raises:
        ValueError: A split has no clips, or features and voxels differ in their number of clips.
        DivergedError: A loss or the monitored metric is not finite.
    """
    return train_semantic_network(task)


def train_semantic_network(
    task: StageTask, network_of: NetworkFactory | None = None, *, solved: bool = False
) -> StageResult:
    """Train the network that `network_of` returns as the section `semantic.train` says, and write what `run` writes.

    With `solved`, it has its final weights already: nothing is trained.
    """
    config = task.config.semantic
    names = (*FEATURES, *stored_names(task, ("condition_variants",)))
    rows = read_rows(task, names, device=pick_device(config.train.device), trained_on=config.train.rows)
    if config.kind == RIDGE:
        network_of, solved = (lambda _: solved_semantic(config, rows)), True
    job = make_job(task, "semantic", config.train, monitor=config.monitor, width=config.hidden, solved=solved)
    learner = SemanticLearner(config, rows, job, network_of=network_of)
    solved = solved or has_imported_weights(task, "semantic", learner.model)
    progress = train_unless_solved(learner, job, device=rows["train"].fmri.device, solved=solved)
    metrics = held_out(lambda held: {**learner.metrics(held), **learner.controls(held)}, rows)
    (embedding, condition), index = predict(learner.model, rows)
    predictions = {"embedding": embedding, "condition": condition, "index": index}
    return finish(task, learner, progress, metrics, predictions)
