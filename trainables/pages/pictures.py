"""Pictures of clips: film strips for a page, and the contact sheet."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainables.judging.controls import label_of
from trainables.metrics.clip import Clip
from trainables.pages.exhibits import Exhibit, ExhibitSection

_PAPER, _INK, _FAINT = "#ffffff", "#1d2433", "#5b6475"
_TILE, _GAP, _LABEL, _HEAD = 64, 3, 110, 18
_STILLS = 3
"""Frames of each clip on the contact sheet: the first, a middle one and the last."""


def fitted(clip: Clip, side: int) -> Clip:
    """Return `clip` [F,H,W,3] with its longer side reduced to at most `side` pixels. It is never enlarged."""
    height, width = clip.shape[1:3]
    scale = side / max(height, width)
    if scale >= 1:
        return clip
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip])


def strip_uri(clip: Clip, *, side: int, quality: int) -> str:
    """Return the frames of `clip` [F,H,W,3] in one row, as the data URI of a WebP image.

    A page shows one frame of the strip at a time. Unlike animated images, all strips of a page are synchronous and can
    be paused without a script.
    """
    row = np.concatenate(list(fitted(clip, side)), axis=1)
    file = io.BytesIO()
    Image.fromarray(row).save(file, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def write_contact_sheet(sections: Sequence[ExhibitSection], path: Path) -> None:
    """Write the sections' exhibits as PNG: a row for the truth and for each system, with some frames of each clip."""
    blocks = [_block(section) for section in sections]
    sheet = Image.new(
        "RGB",
        (max((block.width for block in blocks), default=1), max(1, sum(block.height for block in blocks))),
        _PAPER,
    )
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    sheet.quantize(256).save(path, optimize=True)  # reduces the file to a third


def _block(section: ExhibitSection) -> Image.Image:
    names = list(section.exhibits[0].videos) if section.exhibits else []
    wide = _STILLS * _TILE + 2 * _GAP
    size = (_LABEL + len(section.exhibits) * wide + _GAP, 3 * _HEAD + len(names) * (_TILE + _GAP) + _HEAD)
    block = Image.new("RGB", (max(size[0], 480), size[1]), _PAPER)
    draw, font = ImageDraw.Draw(block), ImageFont.load_default(12)
    title = f"{section.title}: {section.clips} clips, in the order of {section.ranked_by.label}"
    draw.text((_GAP, _GAP), title, fill=_INK, font=ImageFont.load_default(14))
    for column, exhibit in enumerate(section.exhibits):
        left = _LABEL + column * wide
        first = column == 0 or section.exhibits[column - 1].group != exhibit.group
        draw.text((left, _HEAD + 4), exhibit.group if first else "", fill=_INK, font=font)
        draw.text((left, 2 * _HEAD), exhibit.name[:26], fill=_FAINT, font=font)
        for row, name in enumerate(names):
            block.paste(_stills(exhibit, name), (left, 3 * _HEAD + row * (_TILE + _GAP)))
    for row, name in enumerate(names):
        text = label_of(name)[:18]
        draw.text((_GAP, 3 * _HEAD + row * (_TILE + _GAP) + _TILE // 2 - 6), text, fill=_INK, font=font)
    return block


def _stills(exhibit: Exhibit, name: str) -> Image.Image:
    """Return some frames of a clip side by side, each in a square tile."""
    row = Image.new("RGB", (_STILLS * _TILE, _TILE), _PAPER)
    if name in exhibit.videos:
        clip = exhibit.videos[name]
        chosen = np.linspace(0, len(clip) - 1, _STILLS).round().astype(int)
        for index, frame in enumerate(fitted(clip[chosen], _TILE)):
            row.paste(Image.fromarray(frame), (index * _TILE, (_TILE - len(frame)) // 2))
    return row
