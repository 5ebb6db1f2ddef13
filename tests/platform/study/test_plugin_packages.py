"""A plug-in that is an installed package with an entry point in the group `mindsweep`."""

import hashlib
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from platform.events import TrialEvent
from platform.record.results import results_from_events
from platform.run.driver import run_study
from platform.study.sweep_file import load_study
from storage.events import EventLog
from storage.uri import open_store
from tests.platform.noop_studies import inline_in
from tests.plugin_files import DOUBLE, SWEEP, written
from trainables.plugins.active import load_plugins
from trainables.plugins.source import PluginError, PluginSource, read_source

PLUGIN = DOUBLE.replace("import math\n", "import math\n\nfrom mylab.numbers import TWO\n")
PLUGIN = PLUGIN.replace("    settings =", "    from .late import plus\n\n    settings =")
PLUGIN = PLUGIN.replace("2 * settings.value * settings.scale", "plus(TWO * settings.value * settings.scale)")
FILES = {
    "mylab/__init__.py": "",
    "mylab/late.py": "def plus(value):\n    return value + 1\n",
    "mylab/numbers.py": "TWO = 2\n",
    "mylab/plugin.py": PLUGIN,
    "mylab/sub/__init__.py": "",
}


def install(site: Path, *, name: str = "mylab", point: str = "doubling = mylab.plugin") -> None:
    """Write the package `mylab` and the metadata that an installer writes."""
    for path, text in FILES.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
    about = site / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[mindsweep]\n{point}\n", encoding="utf-8")
    invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages that has the package `mylab`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    install(folder)
    yield folder
    assert not [name for name in sys.modules if name.partition(".")[0] == "mylab"]


def source_of(name: str = "doubling") -> PluginSource:
    return read_source(name, folder=Path())


def test_a_study_runs_the_stage_of_an_installed_package(site: Path, tmp_path: Path) -> None:
    written(tmp_path, sweep_yaml=SWEEP.replace("double.py", "doubling"))
    study = load_study(tmp_path / "sweep.yaml")
    summary = run_study(study, inline_in(tmp_path / "home"))
    assert summary.trials["completed"] == 3
    store = open_store((tmp_path / "home" / "store").as_uri())
    with study.plugins.active():
        results = results_from_events([TrialEvent.from_json(event) for event in EventLog(store, study.id).read()])
    assert all(result.metrics["double.value"] == 2 * result.values["double.value"] + 1 for result in results)


def test_the_digest_covers_every_file_of_the_package(site: Path) -> None:
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {path}\n" for path, text in sorted(FILES.items())]
    assert source_of().sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    digests = {source_of().sha256}
    for path in FILES:
        (site / path).write_text(FILES[path] + "# changed\n", encoding="utf-8")
        digests.add(source_of().sha256)
    (site / "mylab" / "more.py").write_text("", encoding="utf-8")
    digests.add(source_of().sha256)
    assert len(digests) == len(FILES) + 2


def test_the_recorded_source_runs_where_the_package_is_not_installed(site: Path, tmp_path: Path) -> None:
    record = source_of().to_json()
    for path in FILES:
        (site / path).unlink()
    with load_plugins([PluginSource.from_json(record)]).active():
        from trainables.graph import resolve_reference
        from trainables.stage_table import STAGES

        assert resolve_reference(STAGES["double"].implementation).__module__ == "mylab.plugin"
        from mylab import late  # type: ignore[import-not-found]

        assert late.plus(1) == 2


def test_an_installed_package_is_told_from_another_version_and_from_none(site: Path) -> None:
    with pytest.raises(PluginError, match=r"no entry point 'tripling'.*installed are: .*doubling"):
        source_of("tripling")
    install(site, name="other")
    with pytest.raises(PluginError, match="several installed packages have the entry point 'doubling'"):
        source_of()


def test_an_entry_point_without_its_module_is_refused(site: Path) -> None:
    for name, point in {"lost": "lost = nowhere.plugin", "half": "half = mylab.nowhere"}.items():
        install(site, name=name, point=point)
    with pytest.raises(PluginError, match="names the package nowhere, which is not installed"):
        source_of("lost")
    with pytest.raises(PluginError, match=r"the plug-in half cannot be loaded: ModuleNotFoundError"):
        load_plugins([source_of("half")])


def test_an_entry_point_can_name_the_declaration_and_a_module_without_a_package(site: Path) -> None:
    (site / "solo.py").write_text(DOUBLE.replace("PLUGIN = ", "MINE = "), encoding="utf-8")
    install(site, name="solo", point="solo = solo:MINE")
    source = source_of("solo")
    assert [path for path, _ in source.files] == ["solo.py"]
    assert [stage.name for stage in load_plugins([source]).loaded[0].plugin.stages] == ["double"]
