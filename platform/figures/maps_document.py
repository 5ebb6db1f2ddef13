"""A page with pictures of maps of voxels, as HTML that needs no other file and as Markdown."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platform.figures.map_stages import MAPS
from trainables.pages.kit import render_template

TITLE = "Maps of voxels"
MEANING = (
    "Noise ceilings are of the data set; importance is what a decoder relies on; encoding is the correlation, on test "
    "clips, of a voxel's responses with those that ridge regression predicts from features of the clips. Maps of one "
    "measure have one scale within a picture. The files beside this page are for brain viewers."
)
_TEMPLATE = Path(__file__).with_name("maps.html")


@dataclass(frozen=True)
class MapsDocument:
    """What the page says and shows."""

    lead: str
    notes: Sequence[str]
    pictures: Sequence[Path]
    """PNG files in the folder `MAPS` beside the page."""

    def write(self, folder: Path) -> None:
        """Write `maps.html` and `maps.md` into `folder`."""
        shown = [(path.stem.replace("_", ", "), _uri(path)) for path in self.pictures]
        page = render_template(_TEMPLATE, title=TITLE, lead=self.lead, notes=self.notes, pictures=shown)
        (folder / f"{MAPS}.html").write_text(page, encoding="utf-8")
        pictures = (f"![{path.stem}]({MAPS}/{path.name})" for path in self.pictures)
        lines = [f"# {TITLE}", self.lead, *self.notes, *pictures]
        (folder / f"{MAPS}.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
