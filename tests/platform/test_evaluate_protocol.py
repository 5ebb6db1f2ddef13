"""`platform.evaluate --protocol`: named in all that is written, and refused where it cannot be kept."""

import json
from pathlib import Path

import pytest

from platform.evaluate import main
from tests.platform.made_up_videos import evaluate
from tests.platform.made_up_videos import folders as folders


@pytest.mark.long
def test_the_protocol_is_in_every_table(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, report = evaluate(
        capsys, folders[1], "--truth", folders[0], "--out", out, "--protocol", "mind_animator-1", "--vifi", "phantom"
    )
    assert code == 0
    assert (report["protocol"]["id"], report["chosen"]["height"]) == ("mind_animator-1", 512)
    assert len(report["protocol"]["networks"]["vifi"]["sha256"]) == 64
    assert "(protocol mind_animator-1)" in (out / "scores.md").read_text()
    assert (
        r"\caption{Reconstructed video against its truth (protocol mind\_animator-1)"
        in (out / "scores.tex").read_text()
    )
    assert "mind_animator-1: 512x512" in (out / "page.html").read_text()
    _, own = evaluate(capsys, folders[1], "--truth", folders[0], "--out", out)
    assert own["protocol"]["id"] == json.loads((out / "scores.json").read_text())["protocol"]["id"] == "mindsweep-1"
    ssim = {r["id"]: next(row["mean"] for row in rows) for r, rows in ((report["protocol"], report["rows"]),)}
    assert ssim["mind_animator-1"] != next(row["mean"] for row in own["rows"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--protocol", "neurons-1"], "it judges 256x256 pixels, but ours has"),
        (["--protocol", "mind_animator-1", "--resolution", "64"], "--resolution: mind_animator-1 fixes it at 512"),
        (["--protocol", "mind_video-1", "--frames", "4"], "--frames: mind_video-1 fixes it at 6"),
        (["--protocol", "ours-1"], "argument --protocol: there is no ours-1; did you mean neurons-1?"),
    ],
)
def test_a_protocol_that_cannot_be_kept_is_refused(
    arguments: list[str], reason: str, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code = main([str(folders[1]), "--truth", str(folders[0]), "--out", str(out), "--no-tracking", *arguments])
    assert code == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
