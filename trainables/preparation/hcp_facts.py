"""What is published about the movie runs of HCP 7T: times, runs, and who saw which version of the films.

Times are those of `HCP_7T_Movie_Clip_Timing.csv` and subjects those of `HCP_7T_movie_V1/V2_ReleasedSubjs.csv` in the
public wiki of the HCP. The times are stated for version 2 of the films; in which way version 1 differs is not.
"""

from dataclasses import dataclass
from typing import Literal

Version = Literal["1", "2"]
_Interval = tuple[float, float]
"""Seconds of the film, from the first frame to the end."""


@dataclass(frozen=True)
class MovieRun:
    """One scanner run, with a film of several clips and a rest before and after each."""

    name: str
    direction: Literal["AP", "PA"]
    """Of phase encoding."""
    film: str
    """File name of version 1, without its ending; version 2 ends in `_v2`."""
    volumes: int
    clips: tuple[_Interval, ...]
    """All clips of the film. The last is the montage, the same in all runs."""
    described: tuple[_Interval, ...]
    """The seconds that Mind-Animator uses and has captions for: without beginnings of clips, and without credits."""

    @property
    def task(self) -> str:
        """The name of its files, such as `tfMRI_MOVIE1_7T_AP`."""
        return f"tfMRI_{self.name}_7T_{self.direction}"

    def film_file(self, version: Version) -> str:
        """Return the name of the film's file."""
        return f"{self.film}.mp4" if version == "1" else f"{self.film}_v2.mp4"


@dataclass(frozen=True)
class HcpDesign:
    """The numbers of the experiment."""

    runs: tuple[MovieRun, ...]
    tr: float = 1.0
    """Seconds per volume; the film begins with the first volume."""
    fps: float = 24.0


DESIGN = HcpDesign(
    runs=(
        MovieRun(
            "MOVIE1",
            "AP",
            "7T_MOVIE1_CC1",
            921,
            ((20.0, 264.0417), (284.0833, 505.7083), (525.75, 713.75), (733.7917, 797.5417), (817.5833, 900.9583)),
            ((26, 231), (289, 505), (531, 705), (740, 797), (824, 900)),
        ),
        MovieRun(
            "MOVIE2",
            "PA",
            "7T_MOVIE2_HO1",
            918,
            ((20.0, 246.7083), (266.75, 525.3333), (545.375, 794.5833), (814.5833, 897.9583)),
            ((26, 246), (272, 525), (551, 794), (821, 897)),
        ),
        MovieRun(
            "MOVIE3",
            "PA",
            "7T_MOVIE3_CC2",
            915,
            ((20.0, 200.5417), (220.5833, 405.0833), (425.125, 629.2083), (649.25, 791.75), (811.5833, 894.9583)),
            ((26, 199), (227, 403), (431, 615), (655, 791), (818, 894)),
        ),
        MovieRun(
            "MOVIE4",
            "AP",
            "7T_MOVIE4_HO2",
            901,
            ((20.0, 252.2917), (272.3333, 502.1667), (522.2083, 777.375), (797.5833, 880.9583)),
            ((26, 252), (278, 502), (528, 777), (804, 880)),
        ),
    )
)

VERSION_FOLDERS: dict[Version, str] = {"1": "Pre_20140821_version", "2": "Post_20140821_version"}

_SAW_VERSION_1 = """
    100610 102311 102816 104416 105923 108323 109123 111312 111514 114823 115017 116726 118225 125525 126931
    128935 130114 130518 131217 131722 132118 134627 137128 140117 144226 145834 146129 146432 146937 148133
    150423 155938 156334 157336 158035 158136 159239 164131 164636 167036 169040 169343 169444 169747 171633
    172130 173334 176542 177645 177746 178142 178647 181232 181636 182436 182739 185442 187345 191033 191336
    191841 192439 192641 195041 196144 197348 199655 200311 200614 201515 203418 204521 205220 209228 212419
    214019 214524 221319 233326 239136 246133 249947 251833 257845 263436 318637 320826 346137 352738 365343
    380036 381038 385046 389357 393247 397760 401422 412528 429040 436845 467351 473952 525541 536647 541943
    547046 562345 572045 573249 601127 627549 638049 671855 680957 690152 706040 725751 732243 745555 751550
    765864 770352 771354 782561 783462 789373 814649 818859 825048 826353 833249 859671 861456 871762 872764
    878877 898176 899885 901139 901442 910241 926862 942658 943862 951457 958976 971160
    """
SAW_VERSION_1 = frozenset(_SAW_VERSION_1.split())
"""Scanned before 22 August 2014."""

_SAW_VERSION_2 = """
    115825 126426 134829 135124 146735 162935 165436 167440 175237 177140 178243 180533 186949 193845 198653
    200210 283543 330324 360030 395756 406836 463040 550439 552241 581450 585256 617748 644246 654552 724446
    757764 878776 905147 927359 966975 973770 995174
    """
SAW_VERSION_2 = frozenset(_SAW_VERSION_2.split())
"""Scanned later."""

MSM_ALL_UNRELIABLE = frozenset(["130114", "169040", "385046", "401422", "644246", "943862", "971160"])
"""Subjects whose registration MSM-All was made from wrongly processed 3 T runs."""


def listed_version(subject: str) -> Version | None:
    """Return the version of the films that a subject saw; None if the subject is in neither list.

    Examples:
        >>> listed_version("100610"), listed_version("115825"), listed_version("000000")
        ('1', '2', None)
    """
    if subject in SAW_VERSION_1:
        return "1"
    return "2" if subject in SAW_VERSION_2 else None
