"""FOLDER ATLAS: write the phantom as CC2017, as BIDS and as a lab has it, prepare each, and print how far they differ.

ATLAS is the parcellation of Glasser 2016 on the 32k surface (.dlabel.nii). What is prepared lies in FOLDER/as_cc2017,
FOLDER/as_bids and FOLDER/as_lab.
"""

import json
import sys
from pathlib import Path

from tests.fakes.phantom_study import differences, make_study, prepare_all, write_trees

if __name__ == "__main__":
    folder, atlas = (Path(argument).absolute() for argument in sys.argv[1:])
    study = make_study(atlas)
    write_trees(study, folder)
    prepare_all(study, folder, atlas)
    print(json.dumps(differences(folder), indent=2))
