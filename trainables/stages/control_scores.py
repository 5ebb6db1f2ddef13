"""The control_scores stage: metrics of the controls that no decoder changes; networks' outputs and flow of true clips.

All trials with the same data set, subject, generator and judges share it. What it leaves makes `evaluate` ask the
networks only about the videos of the trial. The flow of true clips is kept up to a size: at 512 pixels it takes 15 MB a
clip, and its computation is a tenth of the flows that a trial needs.
"""

from trainables.context import StageResult, StageTask
from trainables.judging.bench import load_bench
from trainables.judging.control_scores import PER_CLIP, write_outputs, write_shuffle
from trainables.judging.per_clip_table import write_values
from trainables.judging.score_trial import judge_controls
from trainables.judging.trial_videos import read_controls


def run(task: StageTask) -> StageResult:
    """Write `per_clip.parquet`, `shuffle.json` and, for each split, `truth_SPLIT.safetensors`.

    It reports no metrics: `evaluate` reports these values with those of a trial.

    Raises:
        ValueError: A network cannot be loaded.
    """
    config, folder = task.config.evaluate, task.context.output
    materials = list(read_controls(task.inputs, config, task.config.dataset))
    bench = load_bench(config, shape=materials[0].shape, objects=materials[0].planted is not None)
    scores = {}
    for material in materials:
        with write_outputs(folder, material.split, clips=len(material.clips)) as outputs:
            scores[material.split] = judge_controls(material, bench, outputs)
    tables = [
        (material.split, dict(zip(material.clips, material.names, strict=True)), scores[material.split].values)
        for material in materials
    ]
    write_values(tables, folder / PER_CLIP)
    write_shuffle(scores, folder)
    counts = ", ".join(f"{len(material.clips)} {material.split}" for material in materials)
    return StageResult(info={"clips": counts})
