"""The phantom's stimuli: what is drawn is what the factors and captions say, and nothing leaves the frame."""

import numpy as np
import pytest

from trainables.datasets.phantom.stimuli import (
    COLOURS,
    SIDE,
    SIZES,
    SPEEDS,
    STEPS,
    captions,
    object_mask,
    render,
    sample_factors,
)

FACTORS = sample_factors(np.random.default_rng(5), 300)


def test_same_seed_same_clips_and_other_seed_others() -> None:
    again = sample_factors(np.random.default_rng(5), 300)
    other = sample_factors(np.random.default_rng(6), 300)
    some = slice(0, 10)
    assert np.array_equal(render(FACTORS.select(some)), render(again.select(some)))
    assert not np.array_equal(render(FACTORS.select(some)), render(other.select(some)))


@pytest.mark.parametrize(("frames", "resolution"), [(8, 64), (5, 32), (24, 48)])
def test_shape_and_object_inside_frame_at_any_size(frames: int, resolution: int) -> None:
    some = FACTORS.select(slice(0, 150))
    assert render(some, frames=frames, resolution=resolution).shape == (150, frames, resolution, resolution, 3)
    mask = object_mask(some, frames=frames, resolution=resolution)
    edges = np.concatenate([mask[:, :, 0], mask[:, :, -1], mask[..., 0], mask[..., -1]], axis=-1)
    assert mask.any(axis=(2, 3)).all()
    assert not edges.any()


def test_mask_moves_as_velocity_says() -> None:
    mask = object_mask(FACTORS).astype(float)
    pixel = np.arange(64) + 0.5
    area = mask.sum(axis=(2, 3))
    centre = np.stack([(mask.sum(axis=2) * pixel).sum(-1) / area, (mask.sum(axis=3) * pixel).sum(-1) / area], axis=-1)
    measured = (centre[:, -1] - centre[:, 0]) / (STEPS - 1)
    assert np.abs(measured - FACTORS.velocity).max() < 0.15
    assert np.allclose(np.linalg.norm(FACTORS.velocity, axis=1), np.array(list(SPEEDS.values()))[FACTORS.speed])


def test_object_has_its_colour_and_ground_another() -> None:
    clips, mask = render(FACTORS), object_mask(FACTORS)
    paint = np.array(list(COLOURS.values()))[FACTORS.colour]
    for clip, covered, colour in zip(clips, mask, paint, strict=True):
        x_inside = np.median(clip[covered].astype(int), axis=0)
        assert np.abs(x_inside - colour).max() <= 1
        assert np.abs(np.median(clip[~covered].astype(int), axis=0) - colour).max() > 60


def test_shapes_differ_and_sizes_are_ordered() -> None:
    mask = object_mask(FACTORS)[:, 0]
    area = mask.sum(axis=(1, 2))
    radius = np.array(list(SIZES.values()))[FACTORS.size]
    filled = area / radius**2
    by_shape = [filled[FACTORS.shape == shape] for shape in range(4)]
    assert all(values.std() < 0.12 for values in by_shape), "area over squared radius is the shape's own constant"
    assert by_shape[1].mean() == pytest.approx(4 * 0.88**2, rel=0.05)
    assert by_shape[0].mean() == pytest.approx(np.pi, rel=0.05)


def test_finer_picture_averages_to_the_coarse_one() -> None:
    some = FACTORS.select(slice(0, 20))
    fine = render(some, resolution=128).astype(float).reshape(20, 8, 64, 2, 64, 2, 3).mean(axis=(3, 5))
    assert np.abs(fine - render(some, resolution=64)).mean() < 1.5


def test_captions_name_the_factors() -> None:
    texts = captions(FACTORS)
    assert max(len(text.split()) for text in texts) <= 15
    for text, colour, size in zip(texts, FACTORS.colour, FACTORS.size, strict=True):
        assert text.startswith(f"a {list(SIZES)[size]} {list(COLOURS)[colour]} ")
    assert len(set(texts)) > 290


def test_factors_round_trip_to_json_values() -> None:
    values = FACTORS.to_json()
    assert values["start_x"] == pytest.approx(FACTORS.positions(8)[:, 0, 0].tolist())
    assert all(len(row) == 300 for row in values.values())
    assert 0 < min(values["start_x"]) < max(values["start_x"]) < SIDE
