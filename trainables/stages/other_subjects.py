"""Names by which the voxels stage tells others what it left of the subjects that are trained on."""

TRAINED_ON = "trained on"
"""The fact of a stage run that names subjects and numbers of clips, if not all clips of one subject are trained on."""


def other_file(number: int) -> str:
    """Return the name of the file with the rows of a subject that is trained on beside `voxels.subject`."""
    return f"other_{number}.safetensors"
