"""Configs of `mindvideo_like`: masked fMRI model, fMRI tokens, co-training of the diffusion model, and generation.

Source: the code of Mind-Video (github.com/jqin4749/MindVideo, commit 5097206), and of MIND-VIS for the masked model.
docs/systems/mindvideo_like.md says what is theirs and what is ours.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainables.config.base import Config, Count, DropoutRate, Fraction, Natural, NonNegative, Positive
from trainables.config.decoders import Schedule, TrainConfig
from trainables.identity import SINCE


def require_training_rows(train: TrainConfig) -> None:
    """Raise `ValueError` unless `train` trains on the training split alone, as all that a stage can do."""
    if train.rows != "train":
        raise ValueError(f"this stage trains on the training split alone: train.rows must be train, not {train.rows}")


class PremaskTrainConfig(TrainConfig):
    """Other defaults: those of masked autoencoders."""

    epochs: Count = 20
    warmup_steps: Natural = 100
    schedule: Schedule = "cosine"
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    weight_decay: NonNegative = 0.05
    clip_norm: Annotated[Positive | None, SINCE(None)] = 0.8


class PremaskConfig(Config):
    """The masked fMRI model: patches of voxels are hidden, and decoded from those that are seen.

    Its encoder is also that of `tokens`. With `preset: paper` sizes are those of the authors.
    """

    patch: Count = 15
    """Voxels per patch. Voxels are repeated from the first one on until they fill the last patch."""
    width: Annotated[int, Field(ge=2)] = 128
    """Width of the encoder's tokens."""
    depth: Count = 4
    """Blocks of the encoder."""
    heads: Count = 4
    """Attention heads of the encoder. They must divide `width`."""
    mlp_ratio: Positive = 1.0
    """Hidden width of the feed-forward layers, as a multiple of their width."""
    mask: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.75
    """Fraction of the patches that are hidden, drawn for each volume in each step."""
    decoder_width: Annotated[int, Field(ge=2)] = 64
    """Width of the decoder's tokens."""
    decoder_depth: Count = 2
    """Blocks of the decoder."""
    decoder_heads: Count = 4
    """Attention heads of the decoder. They must divide `decoder_width`."""
    extra_bold: bool = True
    """Whether all volumes between training clips are trained on, or only those that answer a clip."""
    subjects: Literal["own", "all"] = "own"
    """Whose volumes are trained on: those of `voxels.subject`, or of all subjects."""
    train: PremaskTrainConfig = PremaskTrainConfig()

    @model_validator(mode="after")
    def _trains_on_training_volumes(self) -> Self:
        require_training_rows(self.train)
        return self

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        for heads, width in (("heads", "width"), ("decoder_heads", "decoder_width")):
            if getattr(self, width) % getattr(self, heads) != 0:
                raise ValueError(
                    f"{heads} must divide {width} ({getattr(self, width)}), but got {getattr(self, heads)}"
                )
        return self


class AugmentConfig(Config):
    """Augmentation of the fMRI in the contrast, as NeuroCine names it. Its amounts are ours."""

    mask: Fraction = 0.0
    """Fraction of the voxels of each row that are set to zero (spatial masking)."""
    interpolate: Fraction = 0.0
    """Probability that a row, and what it is to predict, is mixed with those of the next clip in time, in a random
    proportion (temporal interpolation). Clips at a block's or run's end are not mixed."""


class TokensTrainConfig(TrainConfig):
    """Other defaults: a transformer needs a smaller step than the MLPs, and a step takes many times as long."""

    epochs: Count = 10
    lr: Positive = 3e-4
    schedule: Schedule = "cosine"
    weight_decay: NonNegative = 0.05
    clip_norm: Annotated[Positive | None, SINCE(None)] = 0.8


class TokensConfig(Config):
    """fMRI to the tokens on which the diffusion model is conditioned, trained by contrast with CLIP."""

    tokens: Count | None = None
    """Number of tokens. None: as many as the text condition has (`features.condition_tokens`)."""
    init: Literal["premask", "random"] = "premask"
    """Where the encoder starts: at the weights of the masked model, or at random ones."""
    freeze: Natural = 0
    """Number of the encoder's first blocks that keep their initial weights, together with the patches' layer."""
    lambda_image: NonNegative = 0.5
    """Weight of the InfoNCE of fMRI and CLIP image embedding."""
    lambda_text: NonNegative = 0.5
    """Weight of the InfoNCE of fMRI and CLIP text embedding."""
    lambda_condition: NonNegative = 1.0
    """Weight of the squared error of the tokens as text condition. It needs as many tokens as the condition has."""
    dropout: DropoutRate = 0.0
    """Dropout of the projection to the tokens."""
    augment: AugmentConfig = AugmentConfig()
    train: TokensTrainConfig = TokensTrainConfig()

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if self.lambda_image == self.lambda_text == self.lambda_condition == 0:
            raise ValueError("lambda_image, lambda_text and lambda_condition are all 0; one must be greater")
        return self


class CotrainTrainConfig(TrainConfig):
    """Other defaults: 1000 steps of two clips."""

    epochs: Count = 10
    batch_size: Count = 2
    lr: Positive = 1e-4


class CotrainConfig(Config):
    """Training of the diffusion model on clips, with the tokens that are decoded from fMRI as its condition."""

    parts: Literal["attention", "temporal", "all", "none"] = "attention"
    """What is trained: all attention layers, the added temporal ones alone (the image model is frozen), every weight,
    or nothing."""
    temporal: bool = True
    """Whether temporal attention is added, which lets each position attend to itself in all frames. Its output starts
    at zero. With `parts: none` nothing is added."""
    encoder: bool = False
    """Whether the fMRI encoder is trained, too, by the diffusion model's error."""
    noise_share: Fraction = 0.0
    """Part of the noise's variance that the frames of a clip share (NeuroCine's prior noise). It should be that of
    `generator.noise`."""
    epoch_clips: Count = 200
    """Training clips per epoch, drawn anew for each. With the defaults an epoch has 100 steps."""
    validation_clips: Count = 60
    """Number of validation and of test clips on which the error is measured: the first ones of each split."""
    train: CotrainTrainConfig = CotrainTrainConfig()

    @model_validator(mode="after")
    def _trains_on_training_clips(self) -> Self:
        require_training_rows(self.train)
        if self.train.init != "torch":
            raise ValueError(
                f"the weights are those of the diffusion model: train.init must be torch, not {self.train.init}"
            )
        return self

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if self.parts == "temporal" and not self.temporal:
            raise ValueError("parts: temporal trains the added temporal attention alone, so temporal must be true")
        if self.parts == "none" and self.encoder:
            raise ValueError("with parts: none nothing is trained, so encoder must be false")
        return self


class MindvideoConfig(Config):
    """Generation from fMRI tokens; only with `system: mindvideo_like`. The section `generator` has the procedure."""

    uncond: Literal["mean_train", "mean_test", "empty_prompt"] = "mean_train"
    """Condition of the unconditional part of guidance: the tokens of the mean training fMRI, of the mean test fMRI (as
    in the released code; test fMRI then decides each video), or the empty prompt's."""
