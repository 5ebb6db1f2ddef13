"""The options of `python -m platform.prepare captions`. This module imports nothing heavy."""

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from trainables.config.base import Config, Count, Natural, NonNegative
from trainables.preparation.options import POSITIONAL


class CaptionOptions(Config):
    """How `python -m platform.prepare captions` describes clips."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    source: Annotated[Path, POSITIONAL]
    """a prepared data set, or a folder of clips (GIF, video, folders of PNG)"""
    model: str
    """BLIP-2: a folder or a name on the hub, such as Salesforce/blip2-flan-t5-xl"""
    clip: str
    """CLIP that compares captions with a frame: a folder or a name on the hub, such as openai/clip-vit-base-patch32"""
    first: Count = 1
    """frame, from 1, of the first caption"""
    second: Count = 6
    """frame of the second caption; the same as the first for one caption without a comparison"""
    compared: Count = 3
    """frame with which both captions are compared"""
    threshold: NonNegative = 0.05
    """largest difference of both similarities at which one of the captions, drawn at random, stands for the clip"""
    joiner: str = "then"
    """word between the two captions if they differ by more"""
    prompt: str = "Question: What does this image describe? Answer:"
    """text that the model continues"""
    words: Count = 20
    """largest number of words of each of the two captions"""
    beams: Count = 5
    """beams of the search for the best text"""
    frames: Annotated[int, Field(ge=1, le=256)] = 8
    """frames per clip of a folder; a prepared data set has its own"""
    batch: Count = 8
    """frames that are described at a time"""
    seed: Natural = 0
    """of the draw between two captions"""
