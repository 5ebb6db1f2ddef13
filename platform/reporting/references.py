"""The publications that a report rests on: its tests, intervals and search, its metrics and its protocol."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from platform.analysis.findings import Findings
from platform.reporting.protocol import evaluate_of_trials, judges_videos
from platform.reporting.sweep_findings import SweepFindings
from platform.statistics.attainable import EXACT_UP_TO
from trainables.config.video import protocol_name

_FILE = Path(__file__).with_name("publications.txt")
"""Lines `KEY: CITATION`."""
_METRICS: Mapping[str, str] = {
    "two_way_i": "chen2023",
    "two_way_v": "chen2023",
    "fifty_way_i": "chen2023",
    "fifty_way_v": "chen2023",
    "vifi": "rasheed2023",
    "ssim": "wang2004",
    "object_ssim": "wang2004",
    "clip_pcc": "radford2021",
    "clip_pairs": "radford2021",
    "epe": "farneback2003",
    "object_epe": "farneback2003",
    "motion_energy": "nishimoto2011",
    "opponent_energy": "adelson1985",
}
"""Name of a metric of video to the publication of it or of its network; none for those that only this project has."""
_PROTOCOLS = {"mind_animator-1": "lu2025", "mind_video-1": "chen2023", "neurons-1": "wang2025"}
_SAMPLERS = {
    "tpe": "bergstra2011",
    "random": "bergstra2012",
    "qmc": "bergstra2012",
    "cmaes": "hansen2001",
    "gp": "snoek2012",
    "nsga2": "deb2002",
    "nsga3": "deb2014",
}
_SCHEDULERS = {"asha": "li2020", "median": "golovin2017"}


def references(findings: Findings) -> tuple[str, ...]:
    """Return the references of the report of an ablation, in order of their authors."""
    return _cited([*_procedures(findings), *_measured(findings)])


def sweep_references(findings: SweepFindings, *, has_importance: bool) -> tuple[str, ...]:
    """Return the references of the report of a sweep."""
    study = findings.search.study
    keys = ["akiba2019", "liaw2018", *(["watanabe2023"] if has_importance else [])]
    keys += [_SAMPLERS[study.sampler]] if study.sampler in _SAMPLERS else []
    keys += [_SCHEDULERS[study.scheduler.name]] if study.scheduler.name in _SCHEDULERS else []
    return _cited([*keys, *_of_metrics(target.name for target in study.targets)])


def _cited(keys: Iterable[str]) -> tuple[str, ...]:
    lines = (line.partition(": ") for line in _FILE.read_text(encoding="utf-8").splitlines())
    publications = {key: text for key, _, text in lines}
    return tuple(publications[key] for key in sorted(set(keys)))


def _of_metrics(names: Iterable[str]) -> Iterator[str]:
    for metric in names:
        name = metric.partition(".")[2].removeprefix("test_").removeprefix("shuffle_p_")
        if name in _METRICS:
            yield _METRICS[name]


def _procedures(findings: Findings) -> Iterator[str]:
    tested = (*findings.declared, *findings.exploratory)
    effects = any(comparison.effect is not None for comparison in tested)
    used = {
        "fisher1935": bool(tested or findings.control_tests),
        "holm1979": bool(findings.declared or findings.control_tests),
        "phipson2010": any(max(each.sizes[1], each.clusters) > EXACT_UP_TO for each in tested),
        "clark1973": any(each.unit == "both" for each in tested),
        "efron1987": any(each.interval.method == "BCa" for each in tested),
        "schuirmann1987": bool(findings.result.design.margins),
        "benjamini1995": bool(findings.exploratory),
        "hedges1981": effects,
        "cliff1993": effects,
        "cochran1977": any(0 < each.clusters < each.sizes[2] for each in tested),
        "ince2021": len(findings.result.subjects) > 1 and bool(findings.conditions),
    }
    yield from (key for key, is_used in used.items() if is_used)


def _measured(findings: Findings) -> Iterator[str]:
    yield from _of_metrics(measure.name for measure in (*findings.measures, *findings.other_measures))
    if judges_videos(findings.result):
        protocol = protocol_name(evaluate_of_trials(findings.result)).partition("+")[0]
        yield from [_PROTOCOLS[protocol]] if protocol in _PROTOCOLS else []
    if findings.result.design.published:
        yield "lu2025"
    if any("nearest_clip" in values.controls for values in findings.tables.values()):
        yield "shirakawa2024"
