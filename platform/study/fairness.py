"""What an ablation must keep to if it compares systems: each rule was broken by a system of the paper's tables.

Clips, resolution, frames, judges and controls are the same for all conditions already: other clips are an error of
`evaluate`, and metrics whose scale differs between conditions are refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainables.config.trial import TrialConfig, flatten

_SEES_TEST: Mapping[str, tuple[Any, str]] = {
    "voxels.normalise": ("test_stats", "standardises test fMRI by itself"),
    "voxels.fitted_on": ("train_and_validation", "standardises by validation clips, on which settings are chosen"),
    "mindvideo.uncond": ("mean_test", "conditions on the mean of test fMRI"),
}
"""Field to the value with which a system sees more of the held-out fMRI than the clip's own, and what it does."""
_REWARDED = ("ssim", "psnr", "epe", "clip_pcc")
"""Metrics that blur wins (SSIM, PSNR), and those that stillness wins (EPE, CLIP-pcc)."""
_BESIDE = "vifi"


def sees_test_fmri(config: TrialConfig) -> Iterator[tuple[str, str]]:
    """Yield the field and a message for each setting by which a condition sees other held-out fMRI."""
    fields = flatten(config.model_dump())
    for field, (value, what) in _SEES_TEST.items():
        if fields.get(field) == value:
            yield (
                field,
                f"{field}: {value} {what}; systems are compared without that: leave it out, or ablate it in a study of "
                "one system",
            )


def one_sided(primary: Sequence[str]) -> str | None:
    """Return that the primary metrics of a comparison of systems reward blur or stillness alone; None if not."""
    names = [name.partition(".")[2].removeprefix("test_") for name in primary if name.startswith("evaluate.")]
    rewarded = [name for name in names if name in _REWARDED]
    if not rewarded or _BESIDE in names:
        return None
    return (
        f"compares systems by {', '.join(rewarded)}, which blur or stillness wins; add evaluate.test_{_BESIDE}, which "
        "stands beside them"
    )
