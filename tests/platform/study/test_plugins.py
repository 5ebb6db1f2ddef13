"""Studies with plug-ins: their fields are config fields, their source is part of identities, and mistakes are told."""

from pathlib import Path

import pytest

from platform.errors import UserError
from platform.events import TrialEvent
from platform.options import Options
from platform.record.results import results_from_events
from platform.run.driver import run_study
from platform.study.ablation_file import load_ablation
from platform.study.attempts import find_attempt
from platform.study.field_help import config_help, matching
from platform.study.plan import make_plan
from platform.study.study import Study
from platform.study.sweep_file import load_study
from storage.events import EventLog
from storage.memory import MemoryStore
from storage.studies import load_calls
from storage.uri import open_store
from tests.platform.noop_ablations import register
from tests.platform.noop_studies import inline_in
from tests.plugin_files import ABLATION, DOUBLE, SWEEP, written
from trainables.config.trial import config_class, resolve
from trainables.graph import stage_runs
from trainables.metrics.registry import METRICS
from trainables.stage_table import STAGES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path, double_py=DOUBLE, sweep_yaml=SWEEP, ablation_yaml=ABLATION)


def complaint(folder: Path, name: str = "sweep") -> str:
    """Return the text of the `UserError` that the file must raise."""
    with pytest.raises(UserError) as caught:
        load_study(folder / f"{name}.yaml")
    return str(caught.value)


def with_text(folder: Path, old: str, new: str) -> str:
    """Return the complaint about the plug-in in which `old` is replaced by `new`."""
    assert old in DOUBLE
    written(folder, double_py=DOUBLE.replace(old, new))
    return complaint(folder)


def identities(study: Study, stage: str = "double") -> set[str]:
    with study.plugins.active():
        return {run.identity for _, spec in study.known_trials() for run in spec.runs if run.stage == stage}


def test_a_study_runs_the_stage_of_a_plugin(folder: Path) -> None:
    study = load_study(folder / "sweep.yaml")
    summary = run_study(study, inline_in(folder / "home"))
    assert (summary.trials["completed"], summary.exit_code) == (3, 0)
    with study.plugins.active():
        store = open_store((folder / "home" / "store").as_uri())
        results = results_from_events([TrialEvent.from_json(event) for event in EventLog(store, study.id).read()])
        (call,) = load_calls(store, study.id)
    assert all(result.metrics["double.value"] == 2 * result.values["double.value"] for result in results)
    assert call["plugins"][0]["files"] == {"double.py": DOUBLE}
    assert call["plugins"][0]["sha256"] == study.plugins.digests["double"]


def test_nothing_of_a_plugin_is_left_when_its_study_is_read_or_run(folder: Path) -> None:
    study = load_study(folder / "sweep.yaml")
    run_study(study, inline_in(folder / "home"))
    for _ in range(2):
        assert "double" not in STAGES
        assert "double.value" not in METRICS
        assert "double" not in config_class().model_fields
        with study.plugins.active():
            assert "double" in STAGES
            assert "double.value" in METRICS
            assert "double" in config_class().model_fields


def test_fields_of_a_plugin_are_listed_swept_and_checked(folder: Path) -> None:
    with load_study(folder / "sweep.yaml").plugins.active():
        (entry,) = matching(config_help(), "double.scale")
    assert (entry.meaning, entry.values, entry.default, entry.kind) == (
        "Factor of the result.",
        "number > 0",
        "1",
        "identity",
    )
    written(folder, sweep_yaml=SWEEP.replace("double.value: {", "double.valeu: {"))
    assert (
        "sweep.yaml:5:3: space.double.valeu: there is no such field; did you mean double.value or double.scale?"
        in complaint(folder)
    )
    written(folder, sweep_yaml=SWEEP + "base: {double.scale: -1}\n")
    assert "sweep.yaml:6:8: base.double.scale: must be greater than 0, but got -1" in complaint(folder)
    written(folder, sweep_yaml=SWEEP.replace("target: double.value", "target: double.valeu"))
    assert "there is no metric 'double.valeu'; did you mean double.value?" in complaint(folder)


def test_the_source_is_part_of_its_own_stages_alone(folder: Path) -> None:
    first = load_ablation(folder / "ablation.yaml")
    before = stage_runs(resolve({}), seed=0, targets=["motion", "noop"])
    written(folder, double_py=DOUBLE + "# another version\n")
    second = load_ablation(folder / "ablation.yaml")
    assert identities(first).isdisjoint(identities(second))
    with second.plugins.active():
        assert stage_runs(resolve({}), seed=0, targets=["motion", "noop"]) == before


def test_a_changed_plugin_is_another_sweep_and_a_refused_ablation(folder: Path) -> None:
    store, first, sweep = MemoryStore(), load_ablation(folder / "ablation.yaml"), load_study(folder / "sweep.yaml")
    with first.plugins.active():
        register(first, store)
        assert find_attempt(first, store, new=False).id == "ablation"
    written(folder, double_py=DOUBLE + "# another version\n")
    second = load_ablation(folder / "ablation.yaml")
    with second.plugins.active(), pytest.raises(UserError, match="registered with another design") as caught:
        find_attempt(second, store, new=False)
    assert f"-  double: {first.plugins.digests['double']}" in str(caught.value)
    with sweep.plugins.active():
        old = sweep.id
    changed = load_study(folder / "sweep.yaml")
    with changed.plugins.active():
        assert changed.id != old


def test_a_plugin_that_changes_between_plan_and_run_is_refused(folder: Path) -> None:
    study = load_study(folder / "sweep.yaml")
    with study.plugins.active():
        assert make_plan(study, MemoryStore()).trials == 3
    (folder / "double.py").write_text(DOUBLE.replace("2 *", "3 *"), encoding="utf-8")
    options: Options = inline_in(folder / "home")
    with pytest.raises(UserError, match=r"double\.py: the plug-in double has changed since the study was planned"):
        run_study(study, options)
    assert not (folder / "home").exists()


def test_a_missing_file_is_told_with_what_is_there(folder: Path) -> None:
    written(folder, sweep_yaml=SWEEP.replace("double.py", "dubble.py"))
    assert complaint(folder).startswith(f"{folder}/sweep.yaml:1:11: plugins[0]: there is no file {folder}/dubble.py")
    assert "has: double.py" in complaint(folder)
    written(folder, sweep_yaml=SWEEP.replace("double.py", "nobody"))
    assert "there is no entry point 'nobody' in the group 'mindsweep'" in complaint(folder)
    written(folder, sweep_yaml=SWEEP.replace("[double.py]", "{double: 1}"))
    assert "plugins: must be a list of files" in complaint(folder)


def test_an_incomplete_plugin_is_told_with_its_file(folder: Path) -> None:
    assert "must declare `PLUGIN = Plugin(api=1, ...)`" in with_text(folder, "PLUGIN = ", "PLUG = ")
    assert "has a int there" in with_text(folder, "PLUGIN = Plugin(", "PLUGIN = 3; _ = Plugin(")
    assert "was written for version 7 of the API, and this version of Mindsweep has version 1" in with_text(
        folder, "api=1", "api=7"
    )
    assert "must be a function at the top of one of the plug-in's modules" in with_text(
        folder, "run=run,", "run=lambda task: None,"
    )
    assert "missing 1 required keyword-only argument: 'run'" in with_text(folder, "run=run, ", "")
    assert "every field of Settings needs a valid default; without one: value" in with_text(
        folder, "value: float = 0.5", "value: float"
    )
    assert "stage 'double' has the input 'nobody'" in with_text(folder, "inputs=()", "inputs=('nobody',)")
    assert "reads the section 'nobody'" in with_text(folder, "inputs=()", "inputs=(), sections=('nobody',)")
    assert "the metric 'twice.value' must be stage.name" in with_text(folder, '"double.value"', '"twice.value"')
    assert "must be a subclass of trainables.api.Config" in with_text(folder, "settings=Settings", "settings=dict")


def test_an_error_in_a_plugin_shows_its_own_line(folder: Path) -> None:
    path, line = folder / "double.py", DOUBLE.splitlines().index("import math") + 1
    syntax = with_text(folder, "import math", "import math as")
    assert f"{path}:{line}: the plug-in double cannot be loaded: invalid syntax\n    import math as" in syntax
    missing = with_text(folder, "import math", "import nowhere_to_be_found")
    assert f"{path}:{line}: the plug-in double cannot be loaded: ModuleNotFoundError" in missing
    assert "    import nowhere_to_be_found" in missing
    deep = with_text(folder, "import math", "import math, json; json.loads('{')")
    assert f"{path}:{line}: the plug-in double cannot be loaded: JSONDecodeError" in deep


def test_slips_in_a_declaration_are_told_with_their_line(folder: Path) -> None:
    one = with_text(folder, "seeded=True),)", "seeded=True))")
    assert "double.py:" in one
    assert "stages must be a tuple, such as (Decoder(...),), but is NewStage" in one
    decoder = "decoders=(Decoder(stage='motoin', name='mine', run=run),), stages=("
    text = DOUBLE.replace("stages=(", decoder).replace("import math", "import math\nfrom trainables.api import Decoder")
    written(folder, double_py=text)
    assert "the stage of the decoder 'mine' is 'motoin'; it must be one of ('semantic', 'structure', 'motion')" in (
        complaint(folder)
    )


def test_names_that_are_taken_are_refused(folder: Path) -> None:
    assert "Mindsweep has a stage 'motion' already" in with_text(folder, 'name="double"', 'name="motion"')
    assert "the config has a section 'preset' already" in with_text(folder, 'name="double"', 'name="preset"')
    assert "'Double-1' cannot be a name of a stage" in with_text(folder, 'name="double"', 'name="Double-1"')
    written(folder, double_py=DOUBLE, other_py=DOUBLE, sweep_yaml=SWEEP.replace("[double.py]", "[double.py, other.py]"))
    assert "double has a stage 'double' already" in complaint(folder)


def test_two_versions_in_one_study_are_refused(folder: Path) -> None:
    (folder / "old").mkdir()
    written(folder / "old", double_py=DOUBLE + "# old\n")
    written(folder, sweep_yaml=SWEEP.replace("[double.py]", "[double.py, old/double.py]"))
    assert "the plug-in double is listed in two versions" in complaint(folder)
    written(folder, sweep_yaml=SWEEP.replace("[double.py]", "[double.py, ./double.py]"))
    assert "the plug-in double is listed twice" in complaint(folder)
