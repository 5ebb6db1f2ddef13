"""The noise ceiling of the voxels that the decoders saw, where clips were shown several times."""

from collections.abc import Iterator

from platform.analysis.collect import AblationResult
from platform.reporting.overlap import STAGE
from platform.study.design import BASELINE
from storage.errors import StoreError
from trainables.judging.ceiling_text import CEILING_FACT


def noise_ceiling_notes(result: AblationResult) -> Iterator[str]:
    """Yield a note for each subject whose clips were repeated: how much of its voxels repeats explain."""
    seen = set()
    for (condition, subject, _), trial in result.trials.items():
        if condition != BASELINE or subject in seen or STAGE not in trial.identities:
            continue
        try:
            text = result.runs.open(trial.identities[STAGE]).manifest.info.get(CEILING_FACT, "")
        except StoreError:
            continue  # its artifacts were deleted
        seen.add(subject)
        if text:
            yield (
                f"Noise ceiling of subject {subject}, estimated from repeats: the clip explains {text}. No model can "
                "be expected to explain more of a voxel's variance. It bounds the fMRI, not the metrics above."
            )
