"""The tokens stage: decodes from a window of fMRI the tokens on which a diffusion model is conditioned.

It is trained by contrast of fMRI with CLIP image and text embeddings, and by the error of the text condition.
"""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from trainables.config.decoders import SparsifyConfig
from trainables.config.mindvideo import TokensConfig
from trainables.context import StageResult, StageTask
from trainables.distributed import Forward
from trainables.loop import Job, pick_device, train
from trainables.losses import check_shape, info_nce
from trainables.metrics.retrieval import ranks
from trainables.networks.fmri_encoder import EncoderSizes, sizes_of
from trainables.networks.fmri_tokens import TokensNetwork
from trainables.randomness import Streams
from trainables.stages.decoding import DecoderLearner, SplitRows, finish, held_out, predict, read_rows, untrained
from trainables.stages.premask import FACTS, MODEL
from trainables.stages.volumes import following_rows, with_windows

TARGETS = ("clip_image", "clip_text", "condition")
TOP = (1, 5, 10)
"""The k of top-k retrieval in the gallery of held-out clips."""
_NO_SPARSIFYING = SparsifyConfig(voxel_fraction=0.0)


class TokensLearner(DecoderLearner):
    """Trains a `TokensNetwork` on rows whose fMRI is [rows, W, V]."""

    model: TokensNetwork

    def __init__(
        self,
        config: TokensConfig,
        rows: Mapping[str, SplitRows],
        job: Job,
        *,
        network: TokensNetwork,
        following: Tensor,
    ) -> None:
        """Train `network`. `following` has the row after each training row in time, -1 for none."""
        super().__init__(network, rows, _NO_SPARSIFYING, job)
        self.config = config
        self.following = following.to(self.train.fmri.device)

    def loss(self, forward: Forward, rows: Tensor, streams: Streams) -> Tensor:
        """Return the loss on training rows, augmented as the config says."""
        fmri, targets = self._mixed(rows, streams)
        amount = self.config.augment.mask
        if amount > 0:
            kept = torch.rand(len(fmri), 1, fmri.shape[-1], generator=streams["mask"]) >= amount
            fmri = fmri * kept.to(fmri.device)
        return self._loss(forward(fmri), targets)

    def _mixed(self, rows: Tensor, streams: Streams) -> tuple[Tensor, dict[str, Tensor]]:
        """Return fMRI and targets of training rows, some of them mixed with those of the next clip."""
        values = {"fmri": self.train.fmri, **self.train.features}
        own = {name: tensor[rows] for name, tensor in values.items()}
        chance = self.config.augment.interpolate
        if chance > 0:
            part, drawn = torch.rand(2, len(rows), generator=streams["interpolate"]).to(rows.device)
            other = self.following[rows]
            part = part * ((drawn < chance) & (other >= 0))
            mixed = {name: tensor[other.clamp(min=0)] for name, tensor in values.items()}
            own = {name: torch.lerp(own[name], mixed[name], _like(part, own[name])) for name in own}
        return own.pop("fmri"), own

    def _loss(self, prediction: tuple[Tensor, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        embedding, condition = (x.float() for x in prediction)
        config, total = self.config, embedding.new_zeros(())
        for weight, name in ((config.lambda_image, "clip_image"), (config.lambda_text, "clip_text")):
            if weight > 0:
                total = total + weight * info_nce(embedding, targets[name], self.model.logit_scale)
        if config.lambda_condition > 0:
            check_shape("tokens", condition, targets["condition"])
            total = total + config.lambda_condition * F.mse_loss(condition, targets["condition"])
        return total

    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the validation clips."""
        return self.metrics(self.watched)

    @torch.no_grad()
    def metrics(self, rows: SplitRows) -> dict[str, float]:
        """Return retrieval, loss and, with as many tokens, the error of the condition of `rows`."""
        embedding, condition = self.model(rows.fmri)
        hits = {
            f"retrieval_{name}_top{k}": (rank <= k).double().mean().item()
            for name in ("image", "text")
            for rank in [ranks(embedding, rows.features[f"clip_{name}"])]
            for k in TOP
        }
        true = rows.features["condition"]
        error = {"condition_mse": F.mse_loss(condition, true).item()} if condition.shape == true.shape else {}
        return {**hits, **error, "validation_loss": self._loss((embedding, condition), rows.features).item()}

    def controls(self, rows: SplitRows) -> dict[str, float]:
        """Return the chance levels on `rows`, and the error of the mean training condition."""
        mean = self.train.features["condition"].mean(0)
        error = {"condition_mse_mean": (rows.features["condition"] - mean).square().mean().item()}
        return {**{f"retrieval_chance_top{k}": min(k / len(rows), 1.0) for k in TOP}, **error}


def _like(values: Tensor, other: Tensor) -> Tensor:
    """Return `values` [n] with as many axes as `other`."""
    return values.view(-1, *(1 for _ in other.shape[1:]))


def tokens_network(task: StageTask, rows: SplitRows) -> TokensNetwork:
    """Return an untrained network for `rows` with windows, of the sizes in the sections `premask` and `tokens`.

    The stage needs the input `premask`.

    Raises:
        ValueError: The error of the condition is trained on, and the number of tokens is another one than its.
    """
    config = task.config.tokens
    length, width = rows.features["condition"].shape[1:]
    tokens = length if config.tokens is None else config.tokens
    if config.lambda_condition > 0 and tokens != length:
        raise ValueError(
            f"tokens.tokens is {tokens}, but the text condition has {length} tokens; with tokens.lambda_condition "
            "greater than 0 they must be equal"
        )
    _, window, voxels = rows.fmri.shape
    return TokensNetwork(
        config,
        _sizes(task, voxels),
        window=window,
        condition=(tokens, width),
        clip_dim=rows.features["clip_image"].shape[1],
    )


def _sizes(task: StageTask, voxels: int) -> EncoderSizes:
    """Return the sizes of the encoder: those of the masked model, if it starts from that."""
    if task.config.tokens.init == "premask":
        voxels = task.inputs["premask"].json(FACTS)["voxels"]
    return sizes_of(task.config.premask, voxels=voxels)


def _begun(task: StageTask, rows: SplitRows, job: Job) -> TokensNetwork:
    """Return the network with the weights at which training starts."""
    network = untrained(job, partial(tokens_network, task, rows))
    config = task.config.tokens
    if config.init == "premask":
        stored = load_file(task.inputs["premask"].path(MODEL))
        prefix = "encoder."
        weights = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
        network.encoder.start_from(weights)
    network.encoder.hold(config.freeze)
    return network


def run(task: StageTask) -> StageResult:
    """Train the network from fMRI to tokens and write its predictions for the held-out clips.

    Writes `model.safetensors` and `predictions.safetensors` (`embedding` [n,D], `condition` [n,L,C], `index` [n]).

    Raises:
        ValueError: A split has no clips, inputs differ in their number of clips, or the number of tokens does not fit.
        DivergedError: A loss or the monitored metric is not finite.
    """
    config = task.config.tokens
    read = read_rows(task, TARGETS, device=pick_device(config.train.device), trained_on=config.train.rows)
    rows = {name: with_windows(task, of_split) for name, of_split in read.items()}
    job = Job(
        "tokens",
        task.seed,
        config.train,
        width=task.config.premask.width,
        monitor="validation_loss",
        goal="min",
        context=task.context,
    )
    network = _begun(task, rows["train"], job)
    following = following_rows(task, rows["train"])
    learner = TokensLearner(config, rows, job, network=network, following=following)
    progress = train(learner, job)
    learner.model.to(rows["train"].fmri.device).eval()
    metrics = held_out(lambda held: {**learner.metrics(held), **learner.controls(held)}, rows)
    (embedding, condition), index = predict(learner.model, rows)
    predictions = {"embedding": embedding, "condition": condition, "index": index}
    return finish(task, learner, progress, metrics, predictions)
