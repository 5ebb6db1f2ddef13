"""The entries that events add to an MLflow run."""

from platform.events import Finished, Proposed, Started
from platform.mlflow_view.mirror import TrialMirror


def test_warnings_of_a_trial_are_a_tag_and_a_page() -> None:
    head = {"trial": "t0000", "time": 1.0}
    proposed = Proposed.read(
        {**head, "sequence": 0}, {"point": 0, "repeat": 0, "seed": 0, "values": {}, "config": {}, "runs": []}
    )
    body = {"outcome": "FAILED", "metrics": {}, "runs": {}, "error": "broken", "seconds": 1.0}
    warned = ["features: 12 captions are one", "data: " + "x" * 6000]
    end = Finished.read({**head, "sequence": 1}, {**body, "warnings": warned})
    mirror = TrialMirror("t0000")
    entries = mirror.entries([proposed, end])
    assert entries.texts["warnings.txt"] == "\n".join(warned)
    assert entries.tags["warnings"].startswith(warned[0])
    assert len(entries.tags["warnings"]) == 5000
    again = mirror.entries([Started.read({**head, "sequence": 2}, {"attempt": 2})])
    assert again.tags["warnings"] == "", "the trial was started again"
    assert "warnings.txt" not in again.texts
