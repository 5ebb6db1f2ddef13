"""Networks and features of a trial so small that the whole pipeline runs in a test."""

from collections.abc import Mapping
from typing import Any

TINY: Mapping[str, Any] = {
    "dataset.voxels": 64,
    "features": {"image_variants": 1, "text_variants": 1},
    "motion": {"width": 16, "attention_width": 8, "heads": 2, "ffn_width": 16, "encoder_hidden": 8},
}
"""Overrides, dotted or nested."""
