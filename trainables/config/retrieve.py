"""Config of the stage `retrieve`: is the right clip found by what was reconstructed?"""

from typing import Annotated

from pydantic import AfterValidator

from trainables.config.base import Config, absolute_folder
from trainables.identity import BY_CONTENT


class RetrieveConfig(Config):
    """Retrieval of the right clip by the CLIP embedding of the reconstructed frames (mind-animator.md C.2, Table 5)."""

    others: Annotated[str | None, AfterValidator(absolute_folder), BY_CONTENT] = None
    """Folder of another prepared data set, whose clips make the gallery larger, as those of HCP do in the paper. Its
    content decides identity."""
