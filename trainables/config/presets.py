"""Named sets of defaults: `preset` (sizes), `profile` (paper's text or code), `generation` (procedure), `system`.

The preset `phantom` and the profile `paper` are the defaults of the configs themselves. Sources: Table 7 and the
appendix of the paper for `paper`, the authors' released code for `released_code`. mind-animator.md B.1 and B.3 list
both.
"""

from collections.abc import Mapping
from typing import Any

MINDVIDEO_SIZES: Mapping[str, Any] = {
    "premask.patch": 16,
    "premask.width": 1024,
    "premask.depth": 24,
    "premask.heads": 16,
    "premask.decoder_width": 512,
    "premask.decoder_depth": 8,
    "premask.decoder_heads": 16,
    "premask.train.epochs": 500,
    "premask.train.batch_size": 100,
    "premask.train.lr": 2.5e-4,
    "premask.train.warmup_steps": 1760,
}
"""Sizes and training of MIND-VIS's masked model (config.py of its code), whose encoder is Mind-Video's. The warm-up of
40 epochs is in steps for 4,400 volumes."""

PAPER_SIZES: Mapping[str, Any] = {
    "autoencoder.resolution": 128,
    "autoencoder.base": 64,
    "autoencoder.latent": 1024,
    "gan.base": 64,
    "see.resolution": 112,
    "see.train.epochs": 50,
    "unsee.channels": 64,
    "unsee.kernel": 5,
    "unsee.train.epochs": 150,
    "unsee.train.lr": 5e-3,
    "unsee.train.batch_size": 24,
    "features.resolution": 512,
    "features.latent_size": 64,
    "semantic.hidden": 512,
    "semantic.head_hidden": (2048, 4096),
    "semantic.train.lr": 2e-4,
    "semantic.train.epochs": 100,
    "structure.hidden": 1024,
    "structure.train.lr": 1e-6,
    "structure.train.epochs": 100,
    "motion.patch_size": 64,
    "motion.width": 16384,
    "motion.attention_width": 1024,
    "motion.ffn_width": 768,
    "motion.encoder_hidden": 768,
    "motion.mlp_hidden": 1024,
    "motion.fmri_tokens": 1,
    "motion.attention_dropout": 0.15,
    "motion.encoder_dropout": 0.3,
    "motion.train.lr": 4e-5,
    "motion.train.epochs": 300,
    "motion.train.batch_size": 64,
    "motion.train.schedule": "constant",
    "motion.train.gamma": 0.999,
    "motion.train.betas": (0.9, 0.999),
    "generator.test_clips": 1200,
    "energy.resolution": 96,
    "energy.spatial_frequencies": (0, 2, 4, 8, 16, 32),
    "nishimoto.voxels": 2000,
    "nishimoto.top": 100,
    **MINDVIDEO_SIZES,
}

PAPER_WIDTHS: Mapping[int, int] = {4: 512, 8: 512, 16: 1024, 32: 4096, 64: 16384}
"""`motion.width` by `motion.patch_size` with `preset: paper`. The paper states none. Ours is the number of values of a
patch, and at least 512, the width of the released code's network for small patches."""

RELEASED_CODE: Mapping[str, Any] = {
    "voxels.normalise": "test_stats",
    "voxels.fitted_on": "train_and_validation",
    "features.latents": "sample",
    "features.image_target": "fixed_frame",
    "features.crop_position": "shared",
    "features.text_operations": "one",
    "features.text_variants": 12,
    "features.condition_target": "augmented",
    "semantic.variants": "by_epoch",
    "semantic.retrieval_ties": "order",
    "semantic.sparsify.unit": "entries",
    "semantic.sparsify.refresh": "epoch",
    "semantic.sparsify.cumulative": True,
    "semantic.train.warmup_steps": 0,
    "semantic.train.init": "xavier",
    "semantic.train.schedule": "exponential",
    "structure.sparsify.unit": "entries",
    "structure.sparsify.refresh": "epoch",
    "structure.sparsify.cumulative": True,
    "structure.sparsify.initial": True,
    "structure.sparsify.validation": True,
    "structure.sparsify.voxel_fraction": 0.4,
    "structure.train.warmup_steps": 0,
    "structure.train.schedule": "exponential",
    "structure.train.init": "xavier",
    "structure.train.l1": 4e-6,
    "structure.train.l1_decay": 5e-5,
    "motion.fmri_tokens": 1,
    "motion.mask_means": "visible",
    "motion.mask_refresh": "run",
    "motion.mask_diagonal": True,
    "motion.inference_mask": "first_frame_only",
    "motion.monitor": "true_first_mse",
    "motion.layer_norm": "unbiased",
    "motion.ffn_dropout": 0.2,
    "motion.encoder_block_dropout": 0.15,
    "motion.train.init": "xavier",
    "motion.train.schedule": "noam",
    "motion.train.betas": (0.9, 0.98),
    "motion.train.eps": 1e-9,
    "motion.train.l1": 6e-7,
    "motion.train.l1_decay": 1e-3,
    "generator.norm": "all_frames",
    "generator.temporal_bias": 0,
    "generator.rounding": "down",
    "generator.saved_as": "gif",
    "evaluate.image_trials": 20,
    "evaluate.video_trials": 100,
    "evaluate.hue_frames": 6,
}

_OTHER_LAYERS = ("motion.fmri_tokens", "motion.layer_norm", "motion.ffn_dropout", "motion.encoder_block_dropout")
_MASKS = ("motion.mask_means", "motion.mask_refresh", "motion.mask_diagonal", "motion.inference_mask")
_SOLVED = tuple(
    field
    for field in RELEASED_CODE
    if field.partition(".")[0] in ("semantic", "structure", "motion") and field != "semantic.retrieval_ties"
)
_UNREAD: Mapping[str, tuple[str, ...]] = {
    "cmg_small_patch": _OTHER_LAYERS,
    "per_frame_mlp": (*_OTHER_LAYERS, *_MASKS),
    "ridge": _SOLVED,
}


def unread_fields(stage: str, kind: str) -> tuple[str, ...]:
    """Return the fields of `stage` in `RELEASED_CODE` that this kind of decoder does not read."""
    return tuple(field for field in _UNREAD.get(kind, ()) if field.startswith(f"{stage}."))


GENTLE: Mapping[str, Any] = {
    "generator.procedure": "img2img",
    "generator.noise_timestep": 400,
    "generator.steps": 20,
    "generator.guidance": 3.0,
    "generator.negative_prompt": "",
    "generator.noise": "shared",
}
"""For small diffusion models. With the paper's procedure they lose objects, and static video scores higher
(EXPERIMENTS.md)."""

PRESETS: Mapping[str, Mapping[str, Any]] = {"phantom": {}, "paper": PAPER_SIZES}
PROFILES: Mapping[str, Mapping[str, Any]] = {"paper": {}, "released_code": RELEASED_CODE}
GENERATIONS: Mapping[str, Mapping[str, Any]] = {"gentle": GENTLE, "paper": {}}
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "wen2018": {"layers.frames": "mean"},
    "mindvideo_like": {
        "voxels.window": 2,
        "generator.procedure": "scratch",
        "generator.attention": "two_previous",
        "generator.norm": "all_frames",
        "generator.noise": "independent",
        "generator.steps": 200,
        "generator.guidance": 12.5,
    },
}
"""What a system changes in sections that systems share, such as the generator's: `system` to its defaults."""
SYSTEMS_WITH: Mapping[tuple[str, str, str], Mapping[str, Any]] = {
    ("mindvideo_like", "preset", "paper"): {"features.condition_tokens": 77},
    ("mindvideo_like", "generation", "gentle"): {"generator.steps": 50, "generator.guidance": 3.0},
}
"""What it changes besides with a value of `preset` or `generation`: (system, field, value) to the defaults."""


def defaults_of_system(system: str, **chosen: str) -> dict[str, Any]:
    """Return what `system` changes, with the `chosen` preset and generation; without them, all that it may change."""
    fields = dict(SYSTEMS.get(system, {}))
    for (name, field, value), defaults in SYSTEMS_WITH.items():
        if name == system and chosen.get(field, value) == value:
            fields |= defaults
    return fields
