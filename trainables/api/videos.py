"""The public functions for systems of plug-ins: fMRI and true clips in, reconstructed videos out. Loads no torch."""

from trainables.metrics.clip import UndefinedError
from trainables.system_videos import clips_of, fmri_rows, read_clips, write_videos

__all__ = ["UndefinedError", "clips_of", "fmri_rows", "read_clips", "write_videos"]
