"""Small plug-ins for tests, as the text of their files."""

from pathlib import Path

DOUBLE = '''
"""Doubles a number."""

import math

from trainables.api import Config, Metric, NewStage, Plugin, Positive, StageResult


class Settings(Config):
    """Numbers of the stage."""

    value: float = 0.5
    """Number that is doubled."""
    scale: Positive = 1.0
    """Factor of the result."""


def run(task):
    settings = task.config.double
    return StageResult({"value": 2 * settings.value * settings.scale + task.seed})


PLUGIN = Plugin(
    api=1,
    stages=(NewStage(name="double", run=run, inputs=(), settings=Settings, seeded=True),),
    metrics=(Metric("double.value", title="twice", goal="min", low=-math.inf, high=math.inf, source="a test"),),
)
'''
SWEEP = """\
plugins: [double.py]
target: double.value
trials: 3
space:
  double.value: {uniform: [0.0, 1.0]}
"""
ABLATION = """\
plugins: double.py
primary: [double.value]
seeds: 6
unit: seeds
conditions:
  half: {double.value: 0.25}
"""
JUDGES = '''
"""A metric and a control of videos."""

import numpy as np

from trainables.api import Plugin, VideoControl, VideoMetric
from trainables.api.videos import UndefinedError


def score(truth, reconstruction):
    if reconstruction.max() == reconstruction.min():
        raise UndefinedError("it shows nothing")
    return np.abs(truth.astype(float) - reconstruction).mean()


def flipped(truth, reconstruction):
    return truth ^ 1


PLUGIN = Plugin(
    api=1,
    video_metrics=(
        VideoMetric(name="mae", score=score, title="MAE", goal="min", low=0, high=255, source="a test", unit="grey"),
    ),
    controls=(VideoControl(name="flipped", title="flipped", meaning="each lowest bit flipped", video=flipped),),
)
'''
DARK = '''
"""A data set: the phantom's clips, darkened. A stage reports their mean."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from trainables.api import Config, Count, DatasetKind, Metric, NewStage, Plugin, Positive, StageResult
from trainables.api.videos import read_clips
from trainables.config.data import PhantomConfig
from trainables.datasets import phantom


class Settings(Config):
    """The phantom, darkened."""

    kind: Literal["dark"] = "dark"
    clips: Count = 4
    """Clips for training."""
    factor: Positive = 0.5
    """Factor of each pixel."""


class Reader:
    brains_fingerprint = staticmethod(phantom.brains_fingerprint)
    clips_fingerprint = staticmethod(phantom.clips_fingerprint)
    clips_files = brains_files = card_files = staticmethod(phantom.clips_files)

    def check(self, config):
        return phantom.check(world(config))

    def load_clips(self, config):
        stimuli = phantom.load_clips(world(config))
        return replace(stimuli, clips=(np.asarray(stimuli.clips[:]) * config.factor).astype(np.uint8))

    def load_brains(self, config, stimuli):
        return phantom.load_brains(world(config), stimuli)


def world(config):
    return PhantomConfig(train_clips=config.clips, validation_clips=2, test_clips=2, block_clips=2, subjects=1)


def run(task):
    return StageResult({"mean": float(read_clips(task)[:].mean())})


PLUGIN = Plugin(
    api=1,
    datasets=(DatasetKind(name="dark", description="the phantom, darkened", settings=Settings, reader=Reader()),),
    stages=(NewStage(name="light", run=run, inputs=("clips",)),),
    metrics=(Metric("light.mean", title="mean", goal="min", low=0, high=math.inf, source="a test"),),
)
'''
DARK_SWEEP = """\
plugins: [dark.py]
target: light.mean
trials: 2
base: {dataset: {kind: dark}}
space:
  dataset.factor: {choice: [0.25, 0.5]}
"""
MEAN = '''
"""A structure decoder that answers with the mean training clip."""

import torch

from trainables.api import Decoder, Plugin
from trainables.api.decoders import train_structure


class Mean(torch.nn.Module):
    def __init__(self, mean):
        super().__init__()
        self.mean = torch.nn.Parameter(mean)

    def forward(self, fmri):
        return self.mean.expand(len(fmri), *self.mean.shape)


def run(task):
    return train_structure(task, lambda rows: Mean(rows.features["latents"][:, 0].mean(dim=0)), solved=True)


PLUGIN = Plugin(api=1, decoders=(Decoder(stage="structure", name="mean", run=run, solved=True),))
'''


def written(folder: Path, **files: str) -> Path:
    """Write `name.py` and `name.yaml` files (`double_py=...`) into `folder` and return it."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder
