"""One picture of a trial: truth, reconstruction, shuffled fMRI and ceiling of three clips, with a sentence."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trainables.judging.controls import SYSTEM, TRUTH
from trainables.judging.judged_trial import JudgedSplit
from trainables.judging.paired_marks import paired_marks
from trainables.judging.score_tables import ScoreRow
from trainables.metrics.clip import Clip
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.pages.exhibits import choose_clips

_CONTROL, _CEILING = "shuffled_fmri", "ceiling"
STRIP_ROWS: Mapping[str, str] = {
    TRUTH: "truth",
    SYSTEM: "reconstruction",
    _CONTROL: "another clip's fMRI",
    _CEILING: "true features\n(ceiling)",
}
"""Rows of the picture, from top to bottom: name of the video to label."""
_CHOSEN_BY, _JUDGED_BY = CLIP_METRICS["ssim"], CLIP_METRICS["two_way_i"]
_VERDICTS = {
    "worse": "Reconstructions show more of their clip than those from another clip's fMRI",
    "better": "Reconstructions show less of their clip than those from another clip's fMRI",
    None: "Reconstructions show no more of their clip than those from another clip's fMRI",
}
"""Verdict on the control, compared with the reconstruction, to sentence."""
_PAPER, _INK, _FAINT = "#ffffff", "#1d2433", "#5b6475"
_STILLS, _TILE, _GAP, _BETWEEN, _LABEL, _HEAD, _FOOT = 4, 96, 4, 20, 180, 34, 66


def draw_strip(split: JudgedSplit, path: Path) -> str:
    """Write the picture as PNG and return its sentence.

    The clips are the best, the median and the worst by the SSIM of the reconstruction.

    Raises:
        ValueError: The split has a single clip, so there is no control.
    """
    sentence = verdict_sentence(split)
    chosen = choose_clips(split.values[SYSTEM, _CHOSEN_BY.short], _CHOSEN_BY, shown=1)
    wide = _STILLS * _TILE + _BETWEEN
    size = (_LABEL + len(chosen) * wide, _HEAD + len(STRIP_ROWS) * (_TILE + _GAP) + _FOOT)
    picture = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    for row, label in enumerate(STRIP_ROWS.values()):
        middle = _HEAD + row * (_TILE + _GAP) + _TILE // 2
        draw.multiline_text((_GAP, middle - 11 * (1 + label.count("\n"))), label, fill=_INK, font=font)
    for column, (group, rank, index) in enumerate(chosen):
        left = _LABEL + column * wide
        head = f"{group} clip by {_CHOSEN_BY.label} ({rank} of {len(split.clips)})"
        draw.text((left, 6), head, fill=_FAINT, font=font)
        for row, name in enumerate(STRIP_ROWS):
            picture.paste(_stills(split.videos[name][index]), (left, _HEAD + row * (_TILE + _GAP)))
    words, numbers = sentence.split(": ", 1)
    draw.text((_GAP, size[1] - _FOOT + 8), f"{words}:", fill=_INK, font=ImageFont.load_default(20))
    draw.text((_GAP, size[1] - _FOOT + 36), numbers, fill=_INK, font=ImageFont.load_default(20))
    picture.quantize(256).save(path, optimize=True)  # reduces the file to a third
    return sentence


def verdict_sentence(split: JudgedSplit) -> str:
    """Return the comparison of reconstruction and control as a sentence.

    Raises:
        ValueError: The split has a single clip, so there is no control.
    """
    rows = {row.system: row for row in split.rows if row.metric == _JUDGED_BY.short}
    if _CONTROL not in rows:
        raise ValueError(f"the {split.split} split has {len(split.clips)} clip; the control needs at least 2")
    own, control = rows[SYSTEM], rows[_CONTROL]
    marks = paired_marks(split.values, [_JUDGED_BY], [SYSTEM, _CONTROL], clusters=split.clusters)
    verdict = _VERDICTS[marks.get((_CONTROL, _JUDGED_BY.short))]
    return (
        f"{verdict}: {_JUDGED_BY.label} {_numbers(own)} against {_numbers(control)} "
        f"(chance {_JUDGED_BY.chance_text}, ceiling {_numbers(rows[_CEILING])}) on {own.clips} {split.split} clips."
    )


def _numbers(row: ScoreRow) -> str:
    if row.mean is None:
        return "undefined"
    interval = f" [{row.low:.2f}, {row.high:.2f}]" if row.low is not None and row.high is not None else ""
    return f"{row.mean:.2f}{interval}"


def _stills(clip: Clip) -> Image.Image:
    """Return some frames of `clip` [F,H,W,3] side by side, including the first and the last."""
    chosen = np.linspace(0, len(clip) - 1, _STILLS).round().astype(int)
    tiles = [cv2.resize(frame, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC) for frame in clip[chosen]]
    return Image.fromarray(np.concatenate(tiles, axis=1))
