"""FOLDER: small studies as BOLD Moments and Algonauts 2021 are published, prepared.

A pattern moves in each video, and a part of the voxels answers to its speed. What is prepared lies in FOLDER/as_bmd and
FOLDER/as_algonauts2021.
"""

import sys
from pathlib import Path

from tests.fakes.algonauts2021 import write_algonauts2021
from tests.fakes.bmd import ANNOTATIONS, Videos, write_annotations, write_bmd
from trainables.preparation import algonauts2021, bmd
from trainables.preparation.prepare import prepare

VIDEOS = Videos(train=300, test=40)

if __name__ == "__main__":
    folder = Path(sys.argv[1]).absolute()
    moments = bmd.Settings(folder=write_bmd(folder / "bmd", subjects=(1,), videos=VIDEOS), betas="MNI152")
    prepare(bmd.open_source(moments), moments, folder / "as_bmd")
    challenge = write_algonauts2021(folder / "algonauts2021", subjects=(1,), videos=VIDEOS)
    write_annotations(challenge / ANNOTATIONS.name, VIDEOS)
    mini = algonauts2021.Settings(folder=challenge, captions=(challenge / ANNOTATIONS.name,))
    prepare(algonauts2021.open_source(mini), mini, folder / "as_algonauts2021")
