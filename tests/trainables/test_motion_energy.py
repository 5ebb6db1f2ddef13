"""Motion energy: equal to pymoten's, and of direction; what clips are too short for is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config.nishimoto import EnergyConfig
from trainables.metrics.motion_energy import EnergyBank, gabors, luminance_of

SIDE, FRAMES = 32, 8
ORACLE = Path(__file__).parents[1] / "data" / "pymoten_energy.npy"
"""Energy of `clips` by pymoten 0.1.3: `mk_moten_pyramid_params(8, filter_temporal_width=5, temporal_frequencies=[0, 1,
2], spatial_frequencies=[0, 2, 4, 8, 16])`, `project_stimulus` of the luminance of its `rgb2lab` / 100 with the output
log(x + 0.01) in float64, mean over the four frames whose windows lie in the clip."""


def clips() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (2, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    noise[1, :, :16] //= 3
    return noise


def test_energy_is_pymotens() -> None:
    bank = EnergyBank(EnergyConfig(resolution=SIDE), frames=FRAMES)
    energy = bank.energy(torch.from_numpy(luminance_of(clips()))).numpy()
    oracle = np.load(ORACLE)
    assert energy.shape == oracle.shape == (2, 1380)
    np.testing.assert_allclose(energy, oracle, atol=1e-4)


def test_the_papers_pyramid_has_6555_filters() -> None:
    assert len(gabors(EnergyConfig(spatial_frequencies=(0, 2, 4, 8, 16, 32)))) == 6555
    assert len(gabors(EnergyConfig(temporal_frequencies=(0,), spatial_frequencies=(0, 4)))) == 4 + 1


def test_squares_are_the_roots_before_the_offset() -> None:
    luminance = torch.from_numpy(luminance_of(clips()))
    tiny = {"resolution": SIDE, "offset": 1e-9, "window": FRAMES}
    root, square = (
        EnergyBank(EnergyConfig(**tiny, quadrature=kind), frames=FRAMES).energy(luminance)
        for kind in ("sqrt", "square")
    )
    torch.testing.assert_close(square, 2 * root, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("direction", range(0, 360, 45))
def test_a_drifting_grating_drives_the_opposite_direction_most_as_in_pymoten(direction: int) -> None:
    frequency, angle = 4, np.deg2rad(direction)
    right, down = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    along = np.cos(angle) * right - np.sin(angle) * down  # 90 degrees is upwards
    phase = 2 * np.pi * (frequency * along[None] - np.arange(FRAMES)[:, None, None] / FRAMES)
    grating = torch.from_numpy((0.5 + 0.5 * np.sin(phase)).astype(np.float32))
    config = EnergyConfig(resolution=SIDE)
    (energy,) = EnergyBank(config, frames=FRAMES).energy(grating[None]).numpy()
    fit = [i for i, g in enumerate(gabors(config)) if (g.spatial_frequency, g.temporal_frequency) == (frequency, 1)]
    best = max(fit, key=lambda i: energy[i])
    assert gabors(config)[best].direction == (direction + 180) % 360


def test_luminance_is_that_of_cielab() -> None:
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [119, 119, 119]], dtype=np.uint8)
    np.testing.assert_allclose(luminance_of(colours), [0.0, 1.0, 0.5324, 0.8773, 0.5003], atol=2e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 9}, r"energy.window is 9 frames, but the clips have 8; use 8 or fewer"),
        (
            {"temporal_frequencies": (0, 4)},
            r"has 4 cycles per clip, which 8 frames cannot show; each must be less than 4",
        ),
    ],
)
def test_what_the_frames_cannot_show_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnergyBank(EnergyConfig.model_validate(settings), frames=FRAMES)
