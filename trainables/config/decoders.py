"""The three decoders: what is built and how it is trained. Equations (eq. 1 to 12) are in docs/mind-animator.md."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import (
    Config,
    Count,
    DropoutRate,
    Fraction,
    Natural,
    NonNegative,
    Positive,
    Workers,
    most_workers,
)
from trainables.identity import CIRCUMSTANCE


class SparsifyConfig(Config):
    """fMRI augmentation: some voxels are chosen, and some of their values set to zero."""

    voxel_fraction: Fraction = 0.2
    """Share of the voxels (or entries) that is chosen."""
    zero_fraction: Fraction = 0.5
    """Share of the chosen values that is set to zero."""
    unit: Literal["voxels", "entries"] = "voxels"
    """What is chosen: voxels for each batch (paper), or entries of the whole matrix (released code:
    mind-animator.md B02)."""
    refresh: Literal["step", "epoch"] = "step"
    """How often the choice is drawn: for every batch, or once an epoch."""
    cumulative: bool = False
    """Zeros accumulate from epoch to epoch (released code: mind-animator.md B01)."""
    validation: bool = False
    """Validation rows are sparsified too, once, while training; final metrics are not (released code's structure
    decoder: mind-animator.md B03)."""


class TrainConfig(Config):
    """The optimiser and when to stop."""

    epochs: Count = 30
    """Epochs of training, unless `patience` ends it before."""
    batch_size: Count = 64
    """Clips per optimiser step."""
    lr: Positive = 1e-3
    """Learning rate after the warm-up; `noam` has its own."""
    warmup_steps: Natural = 50
    """Optimiser steps over which the learning rate rises."""
    schedule: Literal["constant", "exponential", "noam"] = "constant"
    """What the learning rate does after the warm-up: stay, fall by `gamma` per epoch, or follow the `noam` formula."""
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.999
    """Per epoch, with `exponential`."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Of AdamW."""
    eps: Positive = 1e-8
    """Of AdamW."""
    weight_decay: NonNegative = 0.0
    """Decoupled (AdamW)."""
    l1: NonNegative = 0.0
    """L1 penalty on all parameters (released code: mind-animator.md B10)."""
    l1_decay: NonNegative = 0.0
    """Rate r: the penalty is l1 * exp(-r e (e-1) / 2) after e whole epochs (released code:
    mind-animator.md B10)."""
    patience: Natural = 0
    """Epochs without a better validation value after which training ends; 0 trains to the last epoch."""
    device: Annotated[Literal["auto", "cpu", "cuda"], CIRCUMSTANCE] = "auto"
    """Where it trains; `auto` takes a GPU if there is one."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the forward pass."""
    compile: Annotated[bool, CIRCUMSTANCE] = False
    """Whether torch.compile is used."""
    workers: Annotated[Workers, CIRCUMSTANCE] = 1
    """Processes that train together, each on its share of every batch: how many changes a result by rounding only.
    Of a range (`1..4`) each attempt takes as many as the cluster's nodes can hold when it begins."""
    micro_batch: Annotated[Count | None, CIRCUMSTANCE] = None
    """Most rows that a process computes at a time, to need less memory; None: all it has of a batch. The loss is still
    that of the whole batch, so this changes a result by rounding only."""

    @model_validator(mode="after")
    def _workers_have_rows(self) -> Self:
        most = most_workers(self.workers)
        if most > self.batch_size:
            raise ValueError(f"workers share a batch, so batch_size must be at least {most}, but got {self.batch_size}")
        return self


class SemanticConfig(Config):
    """fMRI to CLIP space and to the text condition (eq. 1-5)."""

    loss: Literal["contrastive", "mse"] = "contrastive"
    """InfoNCE of fMRI, text and image, or mean squared errors (the paper's Table 17 baselines)."""
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
    """What decides, on validation clips, which epoch's weights are kept; the loss is smooth and covers both outputs."""
    hidden: Count = 256
    """Width of the trunk."""
    head_hidden: tuple[Count, ...] = (256,)
    """Widths of the hidden layers between CLIP space and the text condition."""
    dropout_input: DropoutRate = 0.3
    """Dropout of the input layer."""
    dropout: DropoutRate = 0.15
    """Dropout of all other layers."""
    image_augmentation: bool = True
    """Whether CLIP image targets are drawn from `features.image_variants`."""
    text_augmentation: bool = True
    """Whether CLIP text targets are drawn from `features.text_variants`."""
    sparsify: SparsifyConfig = SparsifyConfig()
    train: TrainConfig = TrainConfig()


class StructureConfig(Config):
    """fMRI to the first frame's latent (eq. 6)."""

    hidden: Count = 256
    """Width of the hidden layers."""
    residual_layers: Natural = 2
    """Residual blocks after the input layer."""
    dropout: DropoutRate = 0.2
    """Dropout of all layers."""
    sparsify: SparsifyConfig = SparsifyConfig()
    train: TrainConfig = TrainConfig()


class MotionSparsifyConfig(SparsifyConfig):
    """As for the other decoders, but off: the paper does not mention it for the motion decoder."""

    voxel_fraction: Fraction = 0.0


class MotionTrainConfig(TrainConfig):
    """Fewer and smaller batches than for the other decoders, and a rate that falls: a step costs eight times as much.

    A class of its own, not a default value: setting one field must leave the others at these defaults.
    """

    epochs: Count = 10
    batch_size: Count = 32
    lr: Positive = 3e-3
    schedule: Literal["constant", "exponential", "noam"] = "exponential"
    gamma: Annotated[float, Field(gt=0.0, le=1.0)] = 0.82
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)


class MotionConfig(Config):
    """The Consistency Motion Generator (eq. 7-9, 11, 12), or the per-frame MLPs that stand in for it in Table 6."""

    kind: Literal["cmg", "per_frame_mlp"] = "cmg"
    """The Consistency Motion Generator, or one MLP per frame."""
    patch_size: Count = 16
    """Side of a patch of the latent; it must divide `features.latent_size`."""
    mask_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.6
    """Hidden fraction of the visible past entries while training; nothing is hidden at inference."""
    depth: Count = 2
    """Blocks of temporal attention, spatial attention and feed-forward layer."""
    width: Count = 128
    """Token width; where a patch has just that many values it enters unprojected, as in the paper's flat model."""
    attention_width: Count = 64
    """Width of queries, keys and values over all heads."""
    heads: Count = 4
    """Attention heads; they must divide `attention_width`."""
    ffn_width: Count = 256
    """Hidden width of the feed-forward layers."""
    dropout: DropoutRate = 0.2
    """Dropout of embeddings and sublayers, and of the MLPs."""
    attention_dropout: DropoutRate = 0.0
    """Dropout of the attention weights."""
    encoder_hidden: Count = 256
    """Hidden width of the fMRI encoder."""
    encoder_dropout: DropoutRate = 0.1
    """Dropout of the fMRI encoder."""
    fmri_tokens: Count = 8
    """Tokens that one fMRI pattern becomes; with 1, cross-attention no longer depends on its query
    (mind-animator.md A.3)."""
    spatial_fusion: Literal["cross", "self", "adaln"] = "cross"
    """How the fMRI enters the spatial module: cross-attention (eq. 7), not at all, or an adaptive norm (eq. 12)."""
    temporal_fusion: Literal["none", "cross", "adaln"] = "none"
    """How the fMRI enters the temporal module: not at all, cross-attention (eq. 11), or an adaptive norm (eq. 12)."""
    mask_means: Literal["hidden", "visible"] = "hidden"
    """`visible` inverts the ratio, as the released code does (mind-animator.md B04)."""
    mask_refresh: Literal["step", "run"] = "step"
    """`run` draws one mask for all steps, layers and heads (mind-animator.md B07)."""
    mask_diagonal: bool = False
    """Whether a frame may be hidden from itself (mind-animator.md B06); the first column and the first two rows are
    then spared."""
    inference_mask: Literal["none", "first_frame_only"] = "none"
    """`first_frame_only` lets later frames see nothing but the first at inference (mind-animator.md B05)."""
    mlp_hidden: Count = 256
    """Hidden width of each MLP; only with `per_frame_mlp`."""
    monitor: Literal["rollout_mse", "teacher_forced_mse"] = "rollout_mse"
    """What decides, on validation clips, which epoch's weights are kept."""
    sparsify: MotionSparsifyConfig = MotionSparsifyConfig()
    train: MotionTrainConfig = MotionTrainConfig()

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.attention_width % self.heads != 0:
            raise ValueError(f"heads must divide attention_width, but got {self.heads} and {self.attention_width}")
        return self


class NoopConfig(Config):
    """A stage that computes nothing: for tests, and to measure what the platform itself costs."""

    value: float = 0.0
    """What it reports at the end."""
    epochs: Count = 1
    """Epochs, each of which reports a value and writes a checkpoint."""
    sleep: Annotated[NonNegative, CIRCUMSTANCE] = 0.0
    """Seconds per epoch."""
    memory: Annotated[Natural, CIRCUMSTANCE] = 0
    """Megabytes (of 2^20 bytes) that each epoch holds, and its checkpoint."""
    fail_at: Natural = 0
    """Raise at this epoch; 0 never."""
    workers: Annotated[Workers, CIRCUMSTANCE] = 1
    """Processes that do so together."""
