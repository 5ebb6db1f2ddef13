"""The clips stage: clips and captions of the data set, drawn or read once, whatever the fMRI, subject and split."""

from trainables import datasets
from trainables.context import StageResult, StageTask
from trainables.datasets.stored_clips import write_stimuli


def run(task: StageTask) -> StageResult:
    """Write `clips.safetensors` and `clips.json`.

    clips: `clips` uint8 [N,F,H,W,3]; no such file where clips lie in a prepared data set, which is named by its digest
    instead. json: for each clip its captions, source and the SHA-256 of its frames; `factors` of what is drawn.

    Raises:
        DatasetError: A clip or caption cannot be used; the message lists all that is wrong.
    """
    stimuli = datasets.load_clips(task.config.dataset)
    write_stimuli(stimuli, task.context.output)
    return StageResult(info={"clips": str(len(stimuli.clips)), "warnings": "\n".join(stimuli.warnings)})
