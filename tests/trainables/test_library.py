"""Training clips as answers: what fMRI points to, what is nearest, and what the held-out clips share with them."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainables.test_decoder_stages import CLIPS, SPLIT, TEST, VALIDATION, World, tiny
from tests.trainables.test_decoder_stages import world as world
from trainables.config.data import AppearingConfig, PhantomConfig
from trainables.datasets.base import digest_of
from trainables.datasets.phantom.stimuli import Factors, from_json
from trainables.datasets.phantom.world import phantom_clips
from trainables.datasets.prepared.tables import VoxelTable, write_voxels
from trainables.judging.ceiling_text import ceiling_in_words
from trainables.judging.library import library_of, mean_clip, nearest_of, overlap_of

FRAMES = np.random.default_rng(0).integers(256, size=(CLIPS, 2, 4, 4, 3), dtype=np.uint8)
TRAINING = [clip for clip, member in enumerate(SPLIT) if member == "train"]


def with_clips(world: World, frames: np.ndarray) -> World:
    described = {
        "captions": [["a clip"]] * CLIPS,
        "source": [str(clip) for clip in range(CLIPS)],
        "factors": None,
        "warnings": [],
        "digests": [digest_of(clip) for clip in frames],
        "prepared": None,
    }
    voxels = {"fmri": world.truth["fmri"], "voxel": torch.arange(world.truth["fmri"].shape[1], dtype=torch.int32)}
    world.add("voxels", {"voxels.safetensors": voxels, "voxels.json": {"split": SPLIT}})
    world.add("data", {"data.json": {}})
    write_voxels(VoxelTable(np.array(["V1"] * len(voxels["voxel"]))), world.folder / "data-files/voxel_table_0.parquet")
    world.inputs["data"] = world.commit("data", world.folder / "data-files")
    world.add("clips", {"clips.safetensors": {"clips": torch.from_numpy(frames)}, "clips.json": described})
    return world


def test_the_nearest_clip_is_the_one_that_the_fmri_points_to(world: World) -> None:
    _, output = with_clips(world, FRAMES).run("library", tiny())
    library = load_file(output / "library.safetensors")
    assert library["index"].tolist() == [*range(CLIPS)[VALIDATION], *range(CLIPS)[TEST]]
    assert set(library["nearest_clip"].tolist()) <= set(TRAINING)
    image = torch.nn.functional.normalize(world.truth["clip_image"], dim=-1)
    reached = (image[library["index"]] * image[library["nearest_clip"]]).sum(1)
    best = (image[library["index"]] @ image[TRAINING].T).max(1).values
    assert (best - reached).mean() < 0.05, "the fMRI is a linear function of the embedding, with a little noise"
    np.testing.assert_array_equal(library["mean_clip"], FRAMES[TRAINING].mean(axis=0).round())


def test_held_out_clips_are_never_in_the_library(world: World) -> None:
    frames, test, validation = FRAMES.copy(), range(CLIPS)[TEST][0], range(CLIPS)[VALIDATION][0]
    first = load_file(with_clips(world, FRAMES).run("library", tiny())[1] / "library.safetensors")
    leaked = {test: int(first["nearest_clip"][-len(range(CLIPS)[TEST])]), validation: int(first["nearest_clip"][0])}
    for clip, training in leaked.items():
        frames[training] = frames[clip]
    _, output = with_clips(world, frames).run("library", tiny())
    library = load_file(output / "library.safetensors")
    assert not set(leaked.values()) & set(library["nearest_clip"].tolist())
    others = [clip for clip in TRAINING if clip not in leaked.values()]
    np.testing.assert_array_equal(library["mean_clip"], frames[others].mean(axis=0).round())
    overlap = json.loads((output / "overlap.json").read_text())
    assert {split: found["same_frames"] for split, found in overlap.items()} == {"validation": 1, "test": 1}
    assert overlap["test"]["clips"] == len(range(CLIPS)[TEST])


def test_a_data_set_whose_training_clips_are_all_held_out_is_refused() -> None:
    with pytest.raises(ValueError, match="every training clip is also a validation or test clip"):
        library_of(["train", "test"], ["same", "same"])
    assert library_of(["train", "train", "dropped", "test"], ["a", "b", "c", "b"]).tolist() == [0]


def test_nearest_is_by_cosine_and_not_by_length() -> None:
    nearest = nearest_of(torch.tensor([[2.0, 0.1]]), torch.tensor([[0.0, 9.0], [0.1, 0.0]]), torch.tensor([7, 3]))
    assert nearest.clip.tolist() == [3]
    assert nearest.similarity.item() == pytest.approx(2 / np.hypot(2, 0.1))


def test_the_mean_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.datasets.base.BLOCK", 3 * FRAMES[0].nbytes)
    members = torch.tensor([0, 4, 5, 6, 19])
    np.testing.assert_array_equal(mean_clip(FRAMES, members), FRAMES[members].mean(axis=0).round())


def test_overlap_is_told_in_numbers() -> None:
    similarities = torch.tensor([[0.9, 0.1], [0.2, 0.5], [0.3, 0.7]])
    overlap = overlap_of(similarities, same_frames=1)
    assert overlap.quantiles == pytest.approx({"0%": 0.5, "25%": 0.6, "50%": 0.7, "75%": 0.8, "100%": 0.9})
    assert "similarity of 0.700 (middle half 0.600 to 0.800; any training clip: 0.300); 1 of 3 clips" in str(overlap)


def test_the_noise_ceiling_is_that_of_the_selected_voxels() -> None:
    ceiling = np.array([90.0, 10.0, 20.0, 30.0, np.nan], np.float32)
    table = VoxelTable(np.array(["V1"] * 5), noise_ceiling_1=ceiling)
    text = ceiling_in_words(table, np.array([1, 2, 3, 4], np.int32))
    assert text == "20% of a voxel's variance in one presentation (middle half of voxels 15 to 25%)"
    assert ceiling_in_words(VoxelTable(np.array(["V1"])), np.array([0], np.int32)) == ""


SMALL = {"train_clips": 2000, "validation_clips": 100, "test_clips": 200}


def combinations(factors: Factors, rows: slice) -> set[tuple[int, ...]]:
    own = factors.select(rows)
    return set(zip(own.shape.tolist(), own.colour.tolist(), own.texture.tolist(), own.background.tolist(), strict=True))


@pytest.mark.parametrize("kind", [PhantomConfig, AppearingConfig])
def test_unseen_combinations_are_in_no_training_clip_and_their_parts_are(
    kind: type[PhantomConfig | AppearingConfig],
) -> None:
    stimuli = phantom_clips(kind(unseen_combinations=True, **SMALL))
    assert stimuli.factors is not None
    factors = from_json(stimuli.factors)
    known, unseen = combinations(factors, slice(0, 2100)), combinations(factors, slice(2100, 2300))
    assert not known & unseen
    assert len(unseen) > 80, "of 128"
    assert len(known) > 370, "of 384"
    for parts in ((0, 1), (0, 2, 3), (1, 2, 3)):
        assert {tuple(c[i] for i in parts) for c in unseen} <= {tuple(c[i] for i in parts) for c in known}
    seen = from_json(phantom_clips(kind(**SMALL)).factors or {})
    assert combinations(seen, slice(2100, 2300)) & combinations(seen, slice(0, 2100))
    np.testing.assert_array_equal(seen.colour, factors.colour)
    np.testing.assert_array_equal(seen.start_x, factors.start_x)
