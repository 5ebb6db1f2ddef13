"""The maps of a recorded trial: noise ceilings, importance and encoding accuracy of its subject's voxels."""

from collections.abc import Mapping
from pathlib import Path

from platform.figures.map_stages import MAP_STAGES
from platform.figures.subject_maps import SubjectMaps, write_subject_maps
from storage.runs import RunStore
from trainables.datasets.prepared.tables import read_voxels
from trainables.preparation.brain_maps import encoding_maps, importance_maps, reliability_maps

_READERS = {"importance": importance_maps, "encoding_accuracy": encoding_maps}
_FILE = "voxels.parquet"


def write_trial_maps(
    runs: RunStore, identities: Mapping[str, str], subject: int, folder: Path
) -> tuple[list[Path], str]:
    """Write what `write_subject_maps` does of one trial into `folder`; nothing if it has no stored maps.

    Args:
        runs: the stage runs of the store.
        identities: stage to identity of the trial's stage runs.
        subject: number of its subject, from 0.
        folder: where to; it is made.

    Returns:
        The files, and why there are no pictures of surfaces.

    Raises:
        storage.errors.StoreError: A stage run cannot be read.
        UserError: The voxel table has neither places nor regions.
    """
    stages = [stage for stage in MAP_STAGES if stage in identities and runs.find(identities[stage]) is not None]
    if not stages or runs.find(identities["data"]) is None:
        return [], ""
    data = runs.open(identities["data"])
    facts = data.json("data.json")
    voxels = read_voxels(data.path(f"voxel_table_{subject}.parquet"))
    maps = [*reliability_maps(voxels)]
    for stage in stages:
        maps += _READERS[stage](runs.open(identities[stage]).path(_FILE), len(voxels))
    space = str(facts.get("space", ""))
    of_subject = SubjectMaps(facts["subjects"][subject]["name"], maps, voxels)
    # The grid of voxels is not on record, so that NIfTI is not written here: `prepare maps --like` does.
    return write_subject_maps([of_subject], space, folder, volumes=False)
