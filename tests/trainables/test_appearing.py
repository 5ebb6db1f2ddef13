"""The phantom whose objects appear: an empty ground first, and a brain that sees what then stands on it."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainables.dataset_tools import run_stage
from trainables.config.trial import resolve
from trainables.datasets.phantom.drives import drives
from trainables.datasets.phantom.stimuli import (
    COLOURS,
    HIGHER_SPEEDS,
    SHAPES,
    STEPS,
    Appearing,
    captions,
    from_json,
    object_mask,
    render,
    sample_appearing,
    sample_factors,
)
from trainables.identity import identity_fields
from trainables.metrics.clip import UndefinedError
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.objects import KnownObject, factor_accuracy
from trainables.metrics.video import Networks, Reading, reading_of
from trainables.stages import clips as clips_stage

FACTORS = sample_appearing(np.random.default_rng(5), 60, onset=1.0)


@pytest.mark.parametrize(("frames", "onset", "empty"), [(8, 1.0, 1), (8, 2.0, 2), (24, 1.0, 3), (2, 1.0, 1)])
def test_ground_is_empty_until_the_onset(frames: int, onset: float, empty: int) -> None:
    factors = sample_appearing(np.random.default_rng(5), 20, onset=onset)
    shown = np.asarray(object_mask(factors, frames=frames).any(axis=(2, 3)))
    assert not shown[:, :empty].any()
    assert shown[:, empty:].all()
    clips = render(factors, frames=frames).astype(int)
    paint = np.array(list(COLOURS.values()))[factors.colour][:, None, None, None]
    near = (np.abs(clips - paint).max(axis=-1) <= 1).any(axis=(2, 3))
    assert np.array_equal(near, shown)


def test_object_moves_at_the_higher_speeds_and_stays_inside() -> None:
    mask = object_mask(FACTORS)[:, 1:].astype(float)
    pixel = np.arange(64) + 0.5
    area = mask.sum(axis=(2, 3))
    centre = np.stack([(mask.sum(axis=2) * pixel).sum(-1) / area, (mask.sum(axis=3) * pixel).sum(-1) / area], axis=-1)
    measured = (centre[:, -1] - centre[:, 0]) / (STEPS - 2)
    speed = np.array(list(HIGHER_SPEEDS.values()))[FACTORS.speed]
    assert np.linalg.norm(measured, axis=1) == pytest.approx(speed, abs=0.15)
    assert not np.concatenate([mask[:, :, 0], mask[:, :, -1], mask[..., 0], mask[..., -1]], axis=-1).any()


def test_factors_come_back_from_json_as_what_they_were() -> None:
    back = from_json(FACTORS.to_json())
    assert isinstance(back, Appearing)
    assert np.array_equal(render(back), render(FACTORS))
    plain = sample_factors(np.random.default_rng(5), 10)
    assert type(from_json(plain.to_json())) is type(plain)
    assert np.array_equal(render(from_json(plain.to_json())), render(plain))


def test_brain_sees_what_appears_when_it_does() -> None:
    clips, words = render(FACTORS), captions(FACTORS)
    early, late = drives(clips, words)["contrast"], drives(clips, words, onset=1.0)["contrast"]
    place = object_mask(FACTORS)[:, 1].reshape(60, 16, 4, 16, 4).mean(axis=(2, 4)).reshape(60, -1)
    size = {name: drive.reshape(60, -1, 4)[..., 3] for name, drive in (("early", early), ("late", late))}
    follows = {name: np.corrcoef(values.ravel(), place.ravel())[0, 1] for name, values in size.items()}
    assert follows["late"] > 0.9
    assert follows["early"] < 0.8, "the first frame outweighs the second e^2 times, and is empty"


def test_stage_makes_it_and_its_identity_is_its_own(tmp_path: Path) -> None:
    small = {"dataset.train_clips": 20, "dataset.validation_clips": 5, "dataset.test_clips": 5, "dataset.voxels": 64}
    config = resolve({**small, "dataset.kind": "appearing", "dataset.subjects": 1})
    assert identity_fields(config.dataset) != identity_fields(resolve(small).dataset)
    made = run_stage(clips_stage.run, config, tmp_path / "clips")
    factors = made.json("clips.json")["factors"]
    assert factors["onset"] == [1.0] * 30
    assert isinstance(from_json(factors), Appearing)


def reading() -> tuple[Reading, KnownObject]:
    mask = object_mask(FACTORS)[0]
    known = KnownObject(mask, int(FACTORS.shape[0]), int(FACTORS.colour[0]), (len(SHAPES), len(COLOURS)))
    truth = reading_of(render(FACTORS.select(slice(0, 1)))[0], Networks())
    return Reading(truth.frames, truth.flow, truth.outputs, known), known


@pytest.mark.parametrize("name", ["object_ssim", "object_epe"])
def test_object_is_judged_in_the_frames_that_show_it(name: str) -> None:
    truth, known = reading()
    other = reading_of(render(FACTORS.select(slice(1, 2)))[0], Networks())
    late = KnownObject(known.mask[1:], known.shape, known.colour, known.kinds)
    without_first = Reading(truth.frames[1:], {grey: flow[1:] for grey, flow in truth.flow.items()}, {}, late)
    other_late = Reading(other.frames[1:], {grey: flow[1:] for grey, flow in other.flow.items()}, {}, None)
    score = CLIP_METRICS[name].score
    assert score(truth, other, threads=1) == score(without_first, other_late, threads=1)


def test_accuracy_counts_the_frames_that_show_the_object_and_needs_one() -> None:
    _, known = reading()
    logits = np.full((8, 32), -9.0, np.float32)
    logits[1:4, known.shape * len(COLOURS) + known.colour] = 9.0
    logits[0] = logits[4:] = np.roll(logits[1], 1 + len(COLOURS))
    assert factor_accuracy(known, logits, factor="colour") == 3 / 7
    nothing = KnownObject(np.zeros_like(known.mask), known.shape, known.colour, known.kinds)
    with pytest.raises(UndefinedError, match="no frame"):
        factor_accuracy(nothing, logits, factor="shape")
