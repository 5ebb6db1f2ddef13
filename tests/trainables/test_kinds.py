"""Tables of kinds: each has every kind that a config may name, and an unknown one is an error that lists them."""

from typing import Any, get_args

import pytest

from trainables import datasets
from trainables.config.data import DATASET_CONFIGS, PhantomConfig
from trainables.config.decoders import MotionConfig, TrainConfig
from trainables.config.trial import resolve
from trainables.datasets.kinds import DATASET_KINDS, Reader, reader_of
from trainables.descent import learning_rate
from trainables.kinds import of_kind
from trainables.networks.motion import MOTION_DECODERS, motion_decoder
from trainables.saved import _built
from trainables.stages.motion import LEARNERS


def choices(model: type[Any], field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))


def test_an_unknown_kind_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^motion\.kind: there is no 'x'; there are: a, b$"):
        of_kind({"a": 1, "b": 2}, "x", field="motion.kind")


def test_every_kind_of_data_set_has_a_config_and_a_reader() -> None:
    assert DATASET_KINDS.keys() == DATASET_CONFIGS.keys()
    for name, kind in DATASET_KINDS.items():
        assert kind.description
        functions = {name for name in vars(Reader) if not name.startswith("_")}
        assert len(functions) == 8
        assert all(callable(getattr(kind.reader, function)) for function in functions)
        assert DATASET_CONFIGS[name].model_fields["kind"].default == name
    with pytest.raises(ValueError, match=r"dataset\.kind: there is no 'bids'; there are: across, appearing, folder, "):
        reader_of("bids")


def test_a_config_whose_kind_has_no_reader_is_refused_everywhere() -> None:
    stranger = PhantomConfig().model_copy(update={"kind": "bids"})
    config = resolve({}).model_copy(update={"dataset": stranger})
    for ask in (datasets.clips_fingerprint, datasets.brains_fingerprint, datasets.check):
        with pytest.raises(ValueError, match="there is no 'bids'"):
            ask(config)
    with pytest.raises(ValueError, match="there is no 'bids'"):
        datasets.load(stranger)


def test_every_kind_of_motion_decoder_has_a_network_and_a_learner() -> None:
    assert choices(MotionConfig, "kind") == set(MOTION_DECODERS) == set(LEARNERS)
    stranger = MotionConfig().model_copy(update={"kind": "rnn"})
    with pytest.raises(
        ValueError, match=r"motion\.kind: there is no 'rnn'; there are: cmg, cmg_small_patch, per_frame_mlp, ridge"
    ):
        motion_decoder(stranger, voxels=3, video=(2, 4, 8, 8))


def test_a_saved_decoder_of_a_plugin_that_is_not_active_is_not_built_as_one_of_ours() -> None:
    facts = {"stage": "motion", "config": {"kind": "drift"}, "voxels": 3, "shapes": {"latents": [2, 4, 8, 8]}}
    with pytest.raises(ValueError, match=r"motion was trained by a plug-in \(SHA-256 0a1b\) that is not active"):
        _built({**facts, "settings": {"motion": {"kind": "drift"}, "plugins": ["0a1b"]}})


def test_a_saved_decoder_of_an_unknown_stage_is_not_taken_for_a_motion_decoder() -> None:
    with pytest.raises(ValueError, match="stage: there is no 'voxels'; there are: motion, semantic, structure"):
        _built({"stage": "voxels", "config": {}, "voxels": 3, "shapes": {"latents": [2, 4, 8, 8]}})


def test_every_schedule_of_the_learning_rate_is_one_of_the_table() -> None:
    for schedule in choices(TrainConfig, "schedule"):
        assert learning_rate(TrainConfig(schedule=schedule), step=3, epoch=2, width=8) > 0
    stranger = TrainConfig().model_copy(update={"schedule": "stepwise"})
    with pytest.raises(ValueError, match=r"train\.schedule: there is no 'stepwise'"):
        learning_rate(stranger, step=1, epoch=1, width=8)
