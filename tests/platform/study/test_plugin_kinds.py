"""Metrics and controls of videos, and kinds of data sets, that plug-ins add: checked, listed and used."""

import json
import math
from pathlib import Path

import pytest

from platform import status
from platform.errors import UserError
from platform.events import TrialEvent
from platform.record.results import results_from_events
from platform.run.driver import run_study
from platform.study.config_errors import config_fields
from platform.study.sweep_file import load_study
from storage.events import EventLog
from storage.studies import load_calls
from storage.uri import open_store
from tests.platform.noop_studies import inline_in
from tests.plugin_files import DARK, DARK_SWEEP, JUDGES, written
from tests.trainables.test_evaluate_stage import GREY, INDEX, evaluate, made, read_values
from trainables.config.trial import resolve
from trainables.datasets.kinds import DATASET_KINDS
from trainables.graph import stage_runs
from trainables.judging.controls import CONTROLS, SYSTEMS
from trainables.metrics.clip_metrics import CLIP_METRICS
from trainables.metrics.registry import METRICS, ablation_metrics, metric_named
from trainables.plugins.active import Plugins, load_plugins
from trainables.plugins.recorded import declared_plugins, recorded_plugins
from trainables.plugins.source import PluginError, read_source


def plugins_in(folder: Path, **texts: str) -> Plugins:
    """Return the plug-ins with these texts (`name_py=...`), loaded."""
    written(folder, **texts)
    return load_plugins([read_source(name.replace("_py", ".py"), folder=folder) for name in texts])


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(PluginError) as caught:
        plugins_in(folder, judges_py=text)
    return str(caught.value)


def with_text(folder: Path, old: str, new: str, *, plugin: str = JUDGES) -> str:
    """Return the complaint about the plug-in in which `old` is replaced by `new`."""
    assert old in plugin
    return complaint(folder, plugin.replace(old, new))


def test_a_metric_and_a_control_of_videos_are_listed_in_their_block_alone(tmp_path: Path) -> None:
    plugins = plugins_in(tmp_path, judges_py=JUDGES)
    assert "mae" not in CLIP_METRICS
    with plugins.active():
        assert (CLIP_METRICS["mae"].label, METRICS["evaluate.mae"].goal) == ("MAE (grey)", "min")
        metric = metric_named("evaluate.test_mae")
        assert metric is not None
        assert metric.scale_depends_on("dataset.noise")
        assert "evaluate.test_mae" in ablation_metrics()
        assert (list(SYSTEMS)[-1], SYSTEMS["flipped"]) == ("flipped", "each lowest bit flipped")
    assert "evaluate.mae" not in METRICS
    assert "flipped" not in CONTROLS


@pytest.mark.long
def test_evaluate_reports_the_metric_and_the_control_of_a_plugin(tmp_path: Path) -> None:
    with plugins_in(tmp_path, judges_py=JUDGES).active():
        result, folder = evaluate({}, tmp_path / "evaluate", made())
        values = read_values(folder)
    for clip in INDEX:
        assert values[clip, "flipped", "mae"][0] == 1.0
    assert values[GREY, "system", "mae"] == (None, "it shows nothing")
    assert result.metrics["test_mae_flipped"] == 1.0
    assert {"mae", "mae_random_clip", "ssim_flipped"} <= result.metrics.keys()
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["systems"]["flipped"] == "each lowest bit flipped"
    assert summary["metrics"]["mae"] == {"title": "MAE (grey)", "goal": "min", "chance": None, "source": "a test"}
    assert "each lowest bit flipped" in (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("return np.abs", "return math.nan * np.abs", r"mae returned .*nan.*; it must return a finite number"),
        ("return truth ^ 1", "return truth + 1.0", "the control flipped is float64"),
        ("return truth ^ 1", "return truth[1:]", r"the control flipped is uint8 \[5, .*it must be uint8 \[6, "),
    ],
)
def test_wrong_values_of_a_metric_and_a_control_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = JUDGES.replace("import numpy", "import math\n\nimport numpy").replace(old, new)
    with plugins_in(tmp_path, judges_py=text).active(), pytest.raises(ValueError, match=message):
        evaluate({}, tmp_path / "evaluate", made())


def test_metrics_and_controls_are_part_of_evaluate_alone(tmp_path: Path) -> None:
    before = {run.stage: run for run in stage_runs(resolve({}), seed=0, targets=["evaluate"])}
    plugins = plugins_in(tmp_path, judges_py=JUDGES)
    with plugins.active():
        after = {run.stage: run for run in stage_runs(resolve({}), seed=0, targets=["evaluate"])}
    assert after["evaluate"].config["plugins"] == [plugins.digests["judges"]]
    assert {stage for stage in before if before[stage] != after[stage]} == {"control_scores", "evaluate"}


def test_recorded_metrics_and_controls_have_their_names_without_code(tmp_path: Path) -> None:
    plugins = plugins_in(tmp_path, judges_py=JUDGES, dark_py=DARK)
    call = json.loads(json.dumps(recorded_plugins(plugins), allow_nan=False))
    with plugins.active():
        metric, control = CLIP_METRICS["mae"], CONTROLS["flipped"]
        config = resolve({"dataset": {"kind": "dark", "factor": 0.25}}).model_dump(mode="json")
    declared = declared_plugins(call)
    assert not declared.loaded
    with declared.active():
        assert (CLIP_METRICS["mae"], CONTROLS["flipped"]) == (metric, control)
        assert METRICS["light.mean"].high == math.inf
        assert resolve(config).model_dump(mode="json") == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="mae"', 'name="ssim"', "Mindsweep has a metric of video 'ssim' already"),
        ('name="mae"', 'name="test_mae"', "'test_mae' cannot be a name of a metric of video"),
        ('name="mae"', 'name="ssim_static"', "would both be evaluate.ssim_static; rename one"),
        ('name="flipped"', 'name="static"', "Mindsweep has a control 'static' already"),
        ('name="flipped"', 'name="truth"', "Mindsweep has a control 'truth' already"),
        ('name="flipped"', 'name="legacy"', "would both be evaluate.epe_legacy; rename one"),
        ("score=score", "score=lambda a, b: 0.0", "must be a function at the top of one of the plug-in's modules"),
        ("video=flipped", "video=None", "None must be a function at the top"),
        ('goal="min"', 'goal="minimum"', "the goal of the metric 'mae' must be min or max, not 'minimum'"),
        ("low=0, high=255", "low=255, high=0", "the metric 'mae' has the range 255 to 0"),
        ("video_metrics=(", "video_metrics=tuple, _=(", "unexpected keyword argument '_'"),
        ("controls=(VideoControl(", "controls=(dict(", "controls[0] must be a VideoControl, not a dict"),
        ("controls=(V", "controls=*(V", "invalid syntax"),
        ('bit flipped", video=flipped),),', 'bit flipped", video=flipped)),', "controls must be a tuple"),
    ],
)
def test_wrong_metrics_and_controls_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in with_text(tmp_path, old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dark", "phantom", "Mindsweep has a kind of data set 'phantom' already"),
        ('"dark"] = "dark"', '"night"] = "night"', "needs the field `kind: Literal['dark'] = 'dark'`"),
        ("settings=Settings", "settings=dict", "must be a subclass of trainables.api.Config"),
        ("    factor: Positive = 0.5\n", "    factor: Positive\n", "without one: factor"),
        ("    def load_brains", "    def load_brain", "the reader of the kind of data set 'dark' lacks load_brains"),
        ('"light.mean"', '"evaluate.ssim"', "Mindsweep has a metric 'evaluate.ssim' already"),
        (
            "stages=(NewStage(",
            "decoders=(Decoder(stage='noop', network=None, settings=None, run=run, name='x'),), stages=(NewStage(",
            "the stage of the decoder 'x' is 'noop'",
        ),
    ],
)
def test_wrong_kinds_of_data_set_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = DARK.replace("import Config,", "import Config, Decoder,")
    assert message in with_text(tmp_path, old, new, plugin=text)


def test_two_plugins_cannot_add_the_same_name(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="judges has a metric of video 'mae' already"):
        plugins_in(tmp_path, judges_py=JUDGES, others_py=JUDGES)


def test_a_study_uses_a_kind_of_data_set_of_a_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, dark_py=DARK, sweep_yaml=DARK_SWEEP)
    study = load_study(tmp_path / "sweep.yaml")
    with study.plugins.active():
        assert DATASET_KINDS["dark"].description == "the phantom, darkened"
        assert "dataset.factor" in config_fields()
    summary = run_study(study, inline_in(tmp_path / "home"))
    assert summary.trials["completed"] == 2
    store = open_store((tmp_path / "home" / "store").as_uri())
    with study.plugins.active():
        results = results_from_events([TrialEvent.from_json(event) for event in EventLog(store, study.id).read()])
    mean = {result.values["dataset.factor"]: result.metrics["light.mean"] for result in results}
    assert mean[0.25] == pytest.approx(mean[0.5] / 2, rel=0.02)
    assert status.main(["sweep", "--home", str(tmp_path / "home")]) == 0
    assert load_calls(store, study.id)[0]["declared"]["datasets"] == ["dark"]


def test_mistakes_in_the_section_of_a_kind_of_data_set_are_told(tmp_path: Path) -> None:
    written(tmp_path, dark_py=DARK, sweep_yaml=DARK_SWEEP.replace("{kind: dark}", "{kind: dark, clips: 0}"))
    with pytest.raises(UserError, match=r"clips: must be greater than or equal to 1, but got 0"):
        load_study(tmp_path / "sweep.yaml")
