"""What a stage holds at a time does not grow with the number of clips; what is allocated is counted (`tests.peaks`)."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from storage.runs import Artifacts
from tests.golden.inputs import FRAMES, LATENTS, config, networks_of_clips, write_inputs
from tests.golden.results import NoCheckpoints
from tests.peaks import peak
from trainables.backbones import load
from trainables.context import Context, StageTask
from trainables.graph import inputs_of, resolve_reference
from trainables.judging import score_tables
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.video import Networks
from trainables.pages.exhibits import choose_clips
from trainables.stage_table import STAGES
from trainables.stages import decoding, features, generation, layers

FEW, MANY = 6, 10
"""Training clips; there are as many held-out ones, all of which are made into videos."""
FRAME_BYTES = FRAMES * 64 * 64 * 3
LATENT_BYTES = 4 * int(np.prod(LATENTS))
HELD = {
    "features": LATENT_BYTES,
    "layers": FRAME_BYTES,
    "controls": LATENT_BYTES,
    "reconstruct": LATENT_BYTES,
    "given": FRAME_BYTES,
    "control_scores": FRAME_BYTES,
    "evaluate": FRAME_BYTES,
    "importance": LATENT_BYTES,
}
"""The least bytes of each clip that a stage would hold which kept what it reads or writes."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Path]:
    return {count: tmp_path_factory.mktemp(f"clips{count}") for count in (FEW, MANY)}


@pytest.fixture(scope="module")
def inputs(worlds: Mapping[int, Path]) -> Mapping[int, Mapping[str, Artifacts]]:
    made = {count: write_inputs(folder, split=split(count), videos=count) for count, folder in worlds.items()}
    for artifacts in (stage_run for stage_runs in made.values() for stage_run in stage_runs.values()):
        for name in artifacts.manifest.files:
            artifacts.path(name)  # fetched and verified here, which is no part of a peak
    return made


def split(count: int) -> tuple[str, ...]:
    return ("train",) * count + ("validation",) * (count // 2) + ("test",) * (count // 2)


@contextmanager
def small_blocks() -> Iterator[None]:
    """Read and write a few clips at a time; load networks once, so that they are no part of a peak."""
    with ExitStack() as stack:
        for module, name, value in (
            (features, "_TEXT_CLIPS", 2),
            (generation, "BATCH", 2),
            (decoding, "MEAN_ROWS", 2),
            (layers, "BATCH_FRAMES", 2),
            (score_tables, "_RESAMPLES", 9),
        ):
            stack.enter_context(patch.object(module, name, value))
        for module, name in (
            (features, "load_vae"),
            (features, "load_text_encoder"),
            (features, "load_clip"),
            (generation, "load_vae"),
            (generation, "load_text_encoder"),
            (generation, "load_generator"),
        ):
            stack.enter_context(patch.object(module, name, cache(getattr(load, name))))
        judges, few_metrics = Networks(**networks_of_clips()), (CLIP_METRICS["ssim"], CLIP_METRICS["object_ssim"])
        stack.enter_context(patch("trainables.judging.bench.load_networks", lambda *_, **__: judges))
        stack.enter_context(patch("trainables.judging.bench.defined", lambda *_, **__: few_metrics))
        stack.enter_context(patch("trainables.pages.trial_page.choose_clips", partial(choose_clips, shown=1)))
        stack.enter_context(patch("torch.cuda.is_available", return_value=False))
        yield


@contextmanager
def single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.long
@pytest.mark.parametrize("stage", HELD)
def test_the_peak_of_a_stage_does_not_grow_with_the_number_of_clips(
    stage: str, worlds: Mapping[int, Path], inputs: Mapping[int, Mapping[str, Artifacts]], tmp_path: Path
) -> None:
    runs = iter(range(9))

    def work(count: int) -> None:
        trial = config(worlds[count])
        several = {"validation_clips": count, "test_clips": count, "noise_timestep": 0}
        trial = trial.model_copy(
            update={
                "generator": trial.generator.model_copy(update=several),
                "features": trial.features.model_copy(update={"batch_size": FRAMES}),
            }
        )
        output = tmp_path / str(next(runs))
        output.mkdir()
        needed = {name: inputs[count][name] for name in inputs_of(stage, trial.system, trial)}
        resolve_reference(STAGES[stage].implementation)(StageTask(trial, 0, needed, Context(output, NoCheckpoints())))

    with small_blocks(), single_thread():
        work(FEW)  # imports and networks
        few, many = (peak(partial(work, count)) for count in (FEW, MANY))
    more = (many - few) / (MANY - FEW)
    assert more < HELD[stage] / 2


def test_what_is_held_is_counted_until_it_is_freed() -> None:
    million = 1_000_000

    def held() -> None:
        values = [torch.zeros(million // 4) for _ in range(3)]
        values += [values[0][1:], values[1].reshape(2, -1)]

    def freed() -> None:
        for _ in range(3):
            torch.zeros(million // 4).add_(1).sum()

    def arrays() -> None:
        values = [np.zeros(million, np.uint8), torch.ones(million // 4).numpy()]
        values.append(torch.from_numpy(values[0]).numpy())

    peaks = [peak(work) / million for work in (held, freed, arrays)]
    assert peaks == pytest.approx([3, 1, 2], abs=0.1)
