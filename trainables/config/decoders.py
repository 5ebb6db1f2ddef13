"""Configs of the three decoders and of their training. Equations (eq. 1 to 12) are in docs/mind-animator.md."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from trainables.config.base import (
    CHECKPOINT_SHARE,
    Config,
    Count,
    DropoutRate,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    UseRayTrain,
    Workers,
    absolute_folder,
    most_workers,
)
from trainables.identity import BY_CONTENT, CIRCUMSTANCE, SINCE

Schedule: TypeAlias = Literal["constant", "exponential", "noam", "cosine"]


class SparsifyConfig(Config):
    """fMRI augmentation: some voxels are chosen, and some of their values are set to zero."""

    voxel_fraction: Fraction = 0.2
    """Fraction of the voxels (or entries) that are chosen."""
    zero_fraction: Fraction = 0.5
    """Fraction of the chosen values that are set to zero."""
    unit: Literal["voxels", "entries"] = "voxels"
    """What is chosen: voxels (paper), or single entries of the matrix (released code: mind-animator.md B02)."""
    refresh: Literal["step", "epoch"] = "step"
    """How often values are chosen at random: `step` for every batch, `epoch` once per epoch."""
    cumulative: bool = False
    """Whether zeros accumulate over epochs (released code: mind-animator.md B01)."""
    initial: Annotated[bool, SINCE(False)] = False
    """Whether training rows are sparsified once more before the first epoch, for good (released code's structure
    decoder: mind-animator.md B03)."""
    validation: bool = False
    """Whether validation rows are sparsified too, once, during training. The final metrics are not affected (released
    code's structure decoder: mind-animator.md B03)."""


class TrainConfig(Config):
    """Optimiser, schedule and early stopping."""

    epochs: Count = 30
    """Maximum number of epochs; `patience` can end training earlier."""
    keep: Annotated[Literal["best", "last"], SINCE("best")] = "best"
    """Epoch whose weights are kept: the best one by the monitored metric, or the last one. With `last`, `epochs` states
    the epoch, as the paper does (30 for semantic, 75 for structure, 70 for motion; mind-animator.md A4)."""
    rows: Annotated[Literal["train", "train_and_validation"], SINCE("train")] = "train"
    """Clips that are trained on. With `train_and_validation`, as in the paper's final trainings, metrics of validation
    clips are of clips that were trained on. So it needs `keep: last` and `patience: 0`, and no validation metric can be
    a target."""
    init: Annotated[Literal["torch", "xavier"], SINCE("torch")] = "torch"
    """Initial weights: torch's defaults, or the Xavier uniform initialisation of every matrix (released code)."""
    batch_size: Count = 64
    """Clips per optimiser step."""
    lr: Positive = 1e-3
    """Learning rate after the warm-up. Schedule `noam` has its own formula."""
    warmup_steps: Natural = 50
    """Optimiser steps over which the learning rate increases."""
    schedule: Schedule = "constant"
    """Learning rate after the warm-up: constant, multiplied by `gamma` per epoch, the `noam` formula, or half a cosine
    from `lr` in the first epoch to almost 0 in the last one."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.999
    """Factor of the learning rate per epoch; only with schedule `exponential`."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Coefficients of AdamW's running averages."""
    eps: Positive = 1e-8
    """Term for numerical stability in AdamW."""
    weight_decay: NonNegative = 0.0
    """Weight decay of AdamW (decoupled)."""
    clip_norm: Annotated[Positive | None, SINCE(None)] = None
    """Largest norm of the gradient of all parameters together; a longer one is shortened to it. None: no limit."""
    l1: NonNegative = 0.0
    """Weight of the L1 penalty on all parameters (released code: mind-animator.md B10)."""
    l1_decay: NonNegative = 0.0
    """Decay rate r of `l1`: after e epochs it is l1 * exp(-r e (e-1) / 2) (released code: mind-animator.md B10)."""
    patience: Natural = 0
    """Number of epochs without a better validation value after which training ends. 0: train all epochs."""
    device: Annotated[Literal["auto", "cpu", "cuda"], CIRCUMSTANCE] = "auto"
    """Device of the training. `auto` uses a GPU if there is one."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the forward pass."""
    products: Annotated[Literal["fp32", "tf32"], SINCE("fp32")] = "fp32"
    """How a GPU multiplies 32-bit numbers in training, forward and backward: exactly, or in TF32, which is faster and
    rounds to 10 bits."""
    compile: Annotated[bool, CIRCUMSTANCE] = False
    """Whether torch.compile is used."""
    workers: Annotated[Workers, CIRCUMSTANCE] = 1
    """Number of processes that train together, each on its part of every batch. It changes a result by rounding only.
    With a range (`1..4`), each attempt uses as many as the cluster's nodes can hold when it starts."""
    use_ray_train: Annotated[UseRayTrain, CIRCUMSTANCE] = "auto"
    """When Ray Train's TorchTrainer runs the stage: `auto` with several workers (one worker is the trial's process),
    `always` also with one, which costs seconds per stage. With `--inline`, which has no Ray: never."""
    micro_batch: Annotated[Count | None, CIRCUMSTANCE] = None
    """Maximum number of rows that a process computes at a time, to save memory. None: all its rows of a batch, or on a
    GPU as many as fit into what is free, by a forecast. The loss is still that of the whole batch, so this changes a
    result by rounding only."""
    checkpoint_share: Annotated[Fraction, CIRCUMSTANCE] = CHECKPOINT_SHARE
    """Share of the training's time that checkpoints take at most: the slower one is, the longer until the next. What is
    lost with a worker is the time since its last checkpoint. 1: one after every epoch; 0: none."""

    @model_validator(mode="after")
    def _validation_clips_select_nothing(self) -> Self:
        if self.rows == "train_and_validation" and (self.keep != "last" or self.patience > 0):
            raise ValueError(
                "with rows: train_and_validation the validation clips are trained on and can choose no epoch: keep "
                f"must be last and patience 0, but got keep: {self.keep} and patience: {self.patience}"
            )
        return self

    @model_validator(mode="after")
    def _workers_have_rows(self) -> Self:
        most = most_workers(self.workers)
        if most > self.batch_size:
            raise ValueError(f"workers share a batch, so batch_size must be at least {most}, but got {self.batch_size}")
        return self


class RidgeConfig(Config):
    """Ridge regression from voxels to the decoder's targets, solved in closed form; only with `kind: ridge`.

    Nothing is trained in epochs: of `train` only the device counts.
    """

    alphas: Annotated[tuple[Positive, ...], Field(min_length=1)] = tuple(10.0 ** (half / 2) for half in range(13))
    """Candidates for the penalty of squared weights. Those with the smallest error on validation clips are taken."""
    alpha_per: Literal["all", "target"] = "all"
    """Whether all values of a feature share one penalty, or each has its own."""


DEFAULT_RIDGE = RidgeConfig()


class FineTuneConfig(Config):
    """Training on other subjects first and on the judged subject last; only with `voxels.subjects`."""

    epochs: Natural = 0
    """Number of epochs, at the end of `train.epochs`, that train on the clips of `voxels.subject` alone. The epochs
    before train on the clips of the other subjects alone; none of them is kept or counts for early stopping. 0: every
    epoch trains on all subjects together."""
    weights: Literal["all", "first_layer"] = "all"
    """Weights that the last epochs change: all, or the first layer of `voxels.subject` alone."""


NO_FINE_TUNING = FineTuneConfig()


def _require_epochs_before(tune: FineTuneConfig, train: TrainConfig) -> None:
    if tune.epochs >= train.epochs:
        raise ValueError(
            f"fine_tune.epochs, the last epochs of train.epochs, must be fewer than these ({train.epochs}), but got "
            f"{tune.epochs}"
        )


def _require_no_patience(kind: str, train: TrainConfig) -> None:
    if kind == "ridge" and train.patience > 0:
        raise ValueError(f"kind: ridge is solved without epochs, so train.patience must be 0, but got {train.patience}")


class SemanticConfig(Config):
    """fMRI to CLIP space and to the text condition (eq. 1-5)."""

    kind: Annotated[Literal["mlp", "ridge"], SINCE("mlp")] = "mlp"
    """The decoder: ours (`mlp`), ridge regression, or one of a plug-in. With `ridge`, the target in CLIP space is the
    mean of text and image, weighted by `alpha`."""
    ridge: Annotated[RidgeConfig, SINCE(DEFAULT_RIDGE)] = DEFAULT_RIDGE
    fine_tune: Annotated[FineTuneConfig, SINCE(NO_FINE_TUNING)] = NO_FINE_TUNING
    loss: Literal["contrastive", "mse"] = "contrastive"
    """InfoNCE of fMRI, text and image, or mean squared errors (baselines of the paper's Table 17)."""
    alpha: Fraction = 0.5
    """Weight of fMRI-text against fMRI-video in the contrastive loss (eq. 2)."""
    lambda_contrast: NonNegative = 0.01
    """Weight of the contrastive loss (eq. 5)."""
    lambda_projection: NonNegative = 0.5
    """Weight of the error of the text condition (eq. 5)."""
    trunk_blocks: Natural = 3
    """Residual blocks after the input layer, one linear layer each."""
    linear_trunk: bool = False
    """One linear layer from voxels to CLIP space (the paper's Table 17 baseline)."""
    monitor: Literal[
        "validation_loss", "projection_mse", "align_mse", "retrieval_image_top5", "retrieval_text_top5"
    ] = "validation_loss"
    """Metric on validation clips that selects the epoch whose weights are kept. The loss is smooth and covers both
    outputs."""
    hidden: Count = 256
    """Width of the trunk."""
    head_hidden: tuple[Count, ...] = (256,)
    """Widths of the hidden layers between CLIP space and the text condition."""
    dropout_input: DropoutRate = 0.3
    """Dropout of the input layer."""
    dropout: DropoutRate = 0.15
    """Dropout of all other layers."""
    image_augmentation: bool = True
    """Whether CLIP image targets are drawn from the `features.image_variants`."""
    text_augmentation: bool = True
    """Whether CLIP text targets are drawn from the `features.text_variants`."""
    variants: Annotated[Literal["any", "by_epoch"], SINCE("any")] = "any"
    """Which variant is a clip's target. `any`: one at random in each step. `by_epoch`: epoch e takes the next one, so
    with as many variants as epochs none comes twice, as in the released code (mind-animator.md B24)."""
    retrieval_ties: Annotated[Literal["average", "order"], SINCE("average")] = "average"
    """Rank of a clip among others of equal similarity: the average of their ranks, or by the order of a sort, the last
    one first, as in the released code (mind-animator.md B42)."""
    sparsify: SparsifyConfig = SparsifyConfig()
    weights: Annotated[str | None, AfterValidator(absolute_folder), BY_CONTENT, SINCE(None)] = None
    """Folder of weights that `python -m platform.checkpoint import` wrote. The stage then trains nothing. Content
    decides identity."""
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _epochs_fit_together(self) -> Self:
        _require_no_patience(self.kind, self.train)
        _require_epochs_before(self.fine_tune, self.train)
        return self


class StructureConfig(Config):
    """fMRI to the first frame's latent (eq. 6)."""

    kind: Annotated[Literal["mlp", "ridge"], SINCE("mlp")] = "mlp"
    """The decoder: ours (`mlp`), ridge regression, or one of a plug-in."""
    ridge: Annotated[RidgeConfig, SINCE(DEFAULT_RIDGE)] = DEFAULT_RIDGE
    fine_tune: Annotated[FineTuneConfig, SINCE(NO_FINE_TUNING)] = NO_FINE_TUNING
    hidden: Count = 256
    """Width of the hidden layers."""
    residual_layers: Natural = 2
    """Residual blocks after the input layer."""
    dropout: DropoutRate = 0.2
    """Dropout of all layers."""
    sparsify: SparsifyConfig = SparsifyConfig()
    weights: Annotated[str | None, AfterValidator(absolute_folder), BY_CONTENT, SINCE(None)] = None
    """Folder of weights that `python -m platform.checkpoint import` wrote. The stage then trains nothing. Content
    decides identity."""
    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _epochs_fit_together(self) -> Self:
        _require_no_patience(self.kind, self.train)
        _require_epochs_before(self.fine_tune, self.train)
        return self


class MotionSparsifyConfig(SparsifyConfig):
    """As for the other decoders, but off by default: the paper does not mention it for the motion decoder."""

    voxel_fraction: Fraction = 0.0


class MotionTrainConfig(TrainConfig):
    """Other defaults than for the other decoders, because a step takes eight times as long.

    There are fewer epochs, smaller batches, and a decreasing learning rate. It is a class and not a default value, so
    that the other fields keep these defaults if one field is set.
    """

    epochs: Count = 10
    batch_size: Count = 32
    lr: Positive = 3e-3
    schedule: Schedule = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.82
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)


class MotionConfig(Config):
    """The Consistency Motion Generator (eq. 7-9, 11, 12), or the per-frame MLPs that replace it in Table 6."""

    kind: Literal["cmg", "cmg_small_patch", "per_frame_mlp", "ridge"] = "cmg"
    """The Consistency Motion Generator; the other network that the released code uses for patches below 64, which has
    no `attention_width`, encoder or dropout fields (mind-animator.md B44); one MLP per frame; or ridge regression to
    the frames after the first."""
    ridge: Annotated[RidgeConfig, SINCE(DEFAULT_RIDGE)] = DEFAULT_RIDGE
    fine_tune: Annotated[FineTuneConfig, SINCE(NO_FINE_TUNING)] = NO_FINE_TUNING
    patch_size: Count = 16
    """Side of a patch of the latent. It must divide `features.latent_size`."""
    mask_ratio: Fraction = 0.6
    """Fraction of the past frames that are hidden in training, below 1. With `mask_means: visible` it is the visible
    fraction, up to 1. Nothing is hidden at inference."""
    depth: Count = 2
    """Blocks of temporal attention, spatial attention and feed-forward layer."""
    width: Count = 128
    """Token width. If a patch has exactly that many values, it is not projected, as in the paper's flat model. Under
    `preset: paper` it follows from `patch_size` unless it is set: 512 for 4 and 8, else 4 * patch_size ** 2."""
    attention_width: Count = 64
    """Total width of queries, keys and values over all heads."""
    heads: Count = 4
    """Number of attention heads. It must divide `attention_width`."""
    ffn_width: Count = 256
    """Hidden width of the feed-forward layers."""
    ffn_dropout: Annotated[DropoutRate, SINCE(0.0)] = 0.0
    """Dropout of the hidden units of the feed-forward layers (released code: 0.2)."""
    layer_norm: Annotated[Literal["torch", "unbiased"], SINCE("torch")] = "torch"
    """Form of the layer norms: torch's, or (x - mean) / (s + 1e-6) with the unbiased standard deviation s (released
    code). The authors' checkpoints need `unbiased`."""
    dropout: DropoutRate = 0.2
    """Dropout of embeddings and sublayers, and of the MLPs."""
    attention_dropout: DropoutRate = 0.0
    """Dropout of the attention weights."""
    encoder_hidden: Count = 256
    """Hidden width of the fMRI encoder."""
    encoder_dropout: DropoutRate = 0.1
    """Dropout of the fMRI encoder."""
    encoder_block_dropout: Annotated[DropoutRate | None, SINCE(None)] = None
    """Dropout of the residual block of the fMRI encoder (released code: 0.15). None: `encoder_dropout`."""
    fmri_tokens: Count = 8
    """Tokens per fMRI pattern. With 1, cross-attention does not depend on its query (mind-animator.md A.3)."""
    spatial_fusion: Literal["cross", "self", "adaln"] = "cross"
    """How the spatial module uses the fMRI: cross-attention (eq. 7), not at all, or an adaptive norm (eq. 12)."""
    temporal_fusion: Literal["none", "cross", "adaln"] = "none"
    """How the temporal module uses the fMRI: not at all, cross-attention (eq. 11), or an adaptive norm (eq. 12)."""
    mask_means: Literal["hidden", "visible"] = "hidden"
    """Whether `mask_ratio` is the hidden or, as in the released code, the visible fraction (mind-animator.md B04)."""
    mask_refresh: Literal["step", "run"] = "step"
    """How often masks are chosen at random: `step` for every batch, `run` once for all batches, layers and heads
    (mind-animator.md B07)."""
    mask_diagonal: bool = False
    """Whether a frame may be hidden from itself (mind-animator.md B06). If so, entries of the first column and of the
    first two rows are never hidden."""
    inference_mask: Literal["none", "first_frame_only"] = "none"
    """Mask at inference. With `first_frame_only`, later frames attend only to the first (mind-animator.md B05)."""
    mlp_hidden: Count = 256
    """Hidden width of each MLP; only with `per_frame_mlp`."""
    monitor: Literal["rollout_mse", "teacher_forced_mse", "true_first_mse"] = "rollout_mse"
    """Metric on validation clips that selects the epoch whose weights are kept. `true_first_mse`, computed only then,
    rolls out from the true first frame, as in the released code (mind-animator.md B63)."""
    sparsify: MotionSparsifyConfig = MotionSparsifyConfig()
    weights: Annotated[str | None, AfterValidator(absolute_folder), BY_CONTENT, SINCE(None)] = None
    """Folder of weights that `python -m platform.checkpoint import` wrote. The stage then trains nothing. Content
    decides identity."""
    train: MotionTrainConfig = MotionTrainConfig()

    @model_validator(mode="after")
    def _something_stays_visible(self) -> Self:
        if self.mask_means == "hidden" and self.mask_ratio == 1.0:
            raise ValueError("mask_ratio, the hidden fraction, must be less than 1, but got 1.0; see mask_means")
        return self

    @model_validator(mode="after")
    def _small_patches_have_codes(self) -> Self:
        if self.kind == "cmg_small_patch" and (self.width % self.heads != 0 or self.width % 4 != 0):
            raise ValueError(
                f"with cmg_small_patch, width must be a multiple of heads ({self.heads}) and of 4, but got {self.width}"
            )
        return self

    @model_validator(mode="after")
    def _epochs_fit_together(self) -> Self:
        _require_no_patience(self.kind, self.train)
        _require_epochs_before(self.fine_tune, self.train)
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.attention_width % self.heads != 0:
            raise ValueError(f"heads must divide attention_width ({self.attention_width}), but got {self.heads}")
        return self


class NoopConfig(Config):
    """A stage that computes nothing, for tests and for measuring the overhead of the platform."""

    value: float = 0.0
    """Value that it reports at the end."""
    epochs: Count = 1
    """Number of epochs. Each reports a value and may write a checkpoint."""
    sleep: Annotated[NonNegative, CIRCUMSTANCE] = 0.0
    """Seconds per epoch."""
    memory: Annotated[Natural, CIRCUMSTANCE] = 0
    """Memory of each epoch, and size of its checkpoint, in megabytes of 2^20 bytes."""
    fail_at: Natural = 0
    """Epoch at which it raises an error; 0: none."""
    fail_with: Annotated[str, CIRCUMSTANCE] = ""
    """Text of that error; empty: a text that names the epoch."""
    workers: Annotated[Workers, CIRCUMSTANCE] = 1
    """Number of processes that run it together."""
    use_ray_train: Annotated[UseRayTrain, CIRCUMSTANCE] = "auto"
    """When Ray Train's TorchTrainer runs it: `auto` with several workers, `always` also with one."""
    checkpoint_share: Annotated[Fraction, CIRCUMSTANCE] = CHECKPOINT_SHARE
    """Share of its time that checkpoints take at most. 1: one after every epoch but the last; 0: none."""
