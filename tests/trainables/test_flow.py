"""End-point error against known motion and against its formula written out."""

from typing import Any

import cv2 as opencv
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.trainables.flow_oracles import end_point_error, static_error
from trainables.metrics import flow
from trainables.metrics.clip import UndefinedError, map_in_threads
from trainables.metrics.shuffle import reorder

Clip = NDArray[np.uint8]
cv2: Any = opencv


def texture(seed: int, size: int = 96) -> Clip:
    blurred: Clip = cv2.GaussianBlur(
        np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8), (0, 0), 2.5
    )
    return blurred


def moving(step: tuple[int, int], *, frames: int = 4, seed: int = 0) -> Clip:
    """A texture that moves by `step` (down, right) pixels per frame, wrapping around."""
    picture = cv2.normalize(texture(seed), None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([np.roll(picture, (step[0] * t, step[1] * t), (0, 1)) for t in range(frames)])


def test_flow_is_the_motion_in_pixels_per_frame_right_and_down() -> None:
    inner = flow.farneback(moving((1, 2)))[:, 24:-24, 24:-24]
    assert inner.shape == (3, 48, 48, 2)
    assert np.abs(inner - [2, 1]).mean() < 0.1


def test_error_between_motions_is_the_length_of_their_difference() -> None:
    mask = np.zeros((4, 96, 96), bool)
    mask[:, 24:-24, 24:-24] = True
    one, other = (flow.farneback(moving(step)) for step in ((0, 2), (0, -1)))
    assert flow.flow_error(one, other, mask=mask) == pytest.approx(3.0, abs=0.15)
    assert static_error(one, mask=mask) == pytest.approx(2.0, abs=0.1)


def test_error_is_the_formula_written_out() -> None:
    truth, prediction = moving((1, 1)), moving((0, 2), seed=1)
    codes: tuple[tuple[flow.Grey, int], ...] = (("rgb", cv2.COLOR_RGB2GRAY), ("bgr", cv2.COLOR_BGR2GRAY))
    for grey, code in codes:
        fields = []
        for clip in (truth, prediction):
            greys = [cv2.cvtColor(frame, code) for frame in clip]
            fields.append(
                [cv2.calcOpticalFlowFarneback(greys[t], greys[t + 1], None, 0.5, 3, 15, 3, 5, 1.2, 0) for t in range(3)]
            )
        written_out = np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in zip(*fields, strict=True)])
        assert end_point_error(truth, prediction, grey=grey, threads=2) == pytest.approx(written_out, abs=1e-6)


def test_grey_weights_matter() -> None:
    truth, prediction = moving((1, 1)), moving((0, 2), seed=1)
    assert end_point_error(truth, prediction, grey="rgb") != end_point_error(truth, prediction, grey="bgr")


def test_a_still_prediction_scores_the_length_of_the_true_flow() -> None:
    truth = moving((0, 2))
    still = np.repeat(truth[:1], len(truth), axis=0)
    # Farneback finds 1e-3 px between equal frames at the borders; the control takes it as none.
    assert end_point_error(truth, still) == pytest.approx(static_error(flow.farneback(truth)), abs=2e-3)


def test_equal_clips_have_no_error() -> None:
    assert end_point_error(moving((1, 0)), moving((1, 0))) == 0.0


def test_one_frame_has_no_flow() -> None:
    with pytest.raises(UndefinedError, match="one frame has no flow"):
        end_point_error(moving((1, 0), frames=1), moving((1, 0), frames=1))


def test_empty_mask_names_the_frame() -> None:
    field = flow.farneback(moving((1, 0)))
    mask = np.ones((4, 96, 96), bool)
    mask[2] = False
    with pytest.raises(UndefinedError, match="empty in frame 2"):
        static_error(field, mask=mask)


def test_flows_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="true flow is"):
        flow.flow_error(np.zeros((3, 8, 8, 2), np.float32), np.zeros((2, 8, 8, 2), np.float32))


def test_transition_errors_give_the_error_of_every_order_of_frames() -> None:
    truth, prediction = moving((1, 1)), moving((0, 2), seed=1)
    table = flow.transition_errors(flow.farneback(truth, threads=2), prediction, threads=2)
    orders = np.array([[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]])
    direct = [end_point_error(truth, np.ascontiguousarray(prediction[order])) for order in orders]
    assert reorder(table[None], orders)[0] == pytest.approx(direct, abs=1e-6)
    still = static_error(flow.farneback(truth))
    assert table[:, 1, 1].mean() == pytest.approx(still, abs=1e-6)


def test_flows_of_several_clips_are_those_of_each() -> None:
    clips = [moving((1, 2)), moving((0, 1), frames=3, seed=1)]
    for one, other in zip(flow.farneback_all(clips, threads=2), map(flow.farneback, clips), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UndefinedError, match="one frame has no flow"):
        flow.farneback_all([clips[0], clips[0][:1]])


def test_threads_of_ours_leave_those_of_opencv_as_they_were() -> None:
    before = cv2.getNumThreads()
    assert map_in_threads(lambda _: cv2.getNumThreads(), range(3), threads=2) == [1, 1, 1]
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda item: 1 // item, range(3), threads=2)
    assert cv2.getNumThreads() == before
