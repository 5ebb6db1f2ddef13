"""Drawings of maps of voxels for pages: the mean of each map by region, as bars."""

from collections.abc import Mapping, Sequence

from trainables.pages.drawing import Drawing, Scale

_WIDTH, _LEFT, _RIGHT = 380, 120, 372
_HEAD, _ROW, _MOST = 34, 18, 24
_UNIT = {"noise": "percent of variance", "repeat": "correlation between repeats"}
"""By the beginning of a map's name."""


def region_panels(means: Mapping[str, Mapping[str, float]]) -> tuple[Drawing, ...]:
    """Return a panel for each map. Maps of one measure, which is what a name begins with, have one scale.

    Args:
        means: map to region to mean, at least one region each.

    Example:
        >>> panel, = region_panels({"repeat_r": {"V1": 0.5, "MT": -0.1}})
        >>> panel.title, panel.height
        ('repeat_r by region', 80.0)
    """
    return tuple(_panel(name, regions, _axis(name, means)) for name, regions in means.items())


def _axis(name: str, means: Mapping[str, Mapping[str, float]]) -> Scale:
    of_measure = [value for other, regions in means.items() if _measure(other) == _measure(name)
                  for value in regions.values()]  # fmt: skip
    low, high = min(0.0, *of_measure, 0.0), max(0.0, *of_measure, 0.0)
    return Scale(low, high if high > low else low + 1.0, _LEFT, _RIGHT - 44)


def _panel(name: str, regions: Mapping[str, float], axis: Scale) -> Drawing:
    drawing = Drawing(f"{name} by region", _WIDTH)
    ordered: Sequence[tuple[str, float]] = sorted(regions.items(), key=lambda item: -item[1])
    shown = ordered[:_MOST]
    hidden = f"; {len(ordered) - len(shown)} lower regions not shown" if len(ordered) > len(shown) else ""
    drawing.text(4, 14, name.replace("_", " "), "title")
    drawing.text(4, 28, f"mean by region, {_UNIT.get(_measure(name), 'as recorded')}{hidden}", "under")
    for index, (region, value) in enumerate(shown):
        top = _HEAD + _ROW * index
        ends = sorted((axis(0.0), axis(value)))
        drawing.text(_LEFT - 6, top + 11, region, "label", anchor="end")
        drawing.box((ends[0], top + 2), (ends[1] - ends[0], 11), "found")
        drawing.text(ends[1] + 4, top + 11, f"{value:.3g}", "value")
    drawing.height = float(_HEAD + _ROW * len(shown) + 10)
    return drawing


def _measure(name: str) -> str:
    return name.partition("_")[0]
