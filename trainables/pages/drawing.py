"""Drawings as SVG. In a page they use its style sheet; as separate files they contain it."""

import math
from dataclasses import dataclass, field
from html import escape

from trainables.pages.kit import style_sheet


@dataclass
class Drawing:
    """A drawing. Coordinates are in pixels at full size, with y downwards."""

    title: str
    width: float
    height: float = 0.0
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, style: str = "", *, anchor: str = "start") -> None:
        """Write `words` with their baseline at `y`."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """Draw a line."""
        ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
        self.parts.append(f'<line {ends} class="{style}"/>')

    def dot(self, x: float, y: float, radius: float, style: str) -> None:
        """Draw a dot."""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{style}"/>')

    def box(self, corner: tuple[float, float], size: tuple[float, float], style: str) -> None:
        """Draw a filled rectangle."""
        attributes = f'x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}"'
        self.parts.append(f'<rect {attributes} class="{style}"/>')

    def svg(self, *, alone: bool = False) -> str:
        """Return the drawing as part of a page, or with `alone` as a separate file."""
        style = f"<style>{style_sheet()}</style>" if alone else ""
        ground = '<rect width="100%" height="100%" class="ground"/>' if alone else ""
        space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        head = f'<svg{space} {size} class="chart" role="img" aria-label="{escape(self.title)}">'
        return f"{head}{style}{ground}{''.join(self.parts)}</svg>"


@dataclass(frozen=True)
class Scale:
    """Linear map from values (`low` to `high`) to coordinates (`start` to `end`)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of `value`, limited to the range from `start` to `end`."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    @property
    def step(self) -> float:
        """Distance between ticks: a round number, for at most six ticks."""
        span = self.high - self.low
        size = 10.0 ** math.floor(math.log10(span / 2))
        return next(size * by for by in (1, 2, 5, 10) if span / (size * by) <= 5)

    @property
    def ticks(self) -> list[float]:
        """The values of the ticks."""
        step = self.step
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale(values: list[float], *, start: float, end: float) -> Scale:
    """Return a scale for all finite `values`, with a margin."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    margin = 0.06 * (high - low) if high > low else max(abs(high), 1.0) * 0.5
    return Scale(low - margin, high + margin, start, end)
