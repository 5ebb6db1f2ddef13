import random

from platform.study.constraints import parse_constraint
from platform.study.domains import Choice, Integers, Uniform, Value
from platform.study.space import RandomSuggester, Space

CONDITIONAL = Space(
    {
        "motion.kind": Choice(choice=("cmg", "per_frame_mlp")),
        "motion.depth": Integers(int=(1, 2), when={"motion.kind": ("cmg",)}),
        "motion.heads": Choice(choice=(2, 4), when={"motion.depth": (2,)}),
        "motion.mlp_hidden": Choice(choice=(64, 128), when={"motion.kind": ("per_frame_mlp",)}),
    }
)


def drawn(space: Space, count: int) -> list[dict[str, Value]]:
    suggester = RandomSuggester(random.Random(1))
    return [space.suggest(suggester) for _ in range(count)]


def test_conditional_fields_appear_only_when_their_condition_holds() -> None:
    points = drawn(CONDITIONAL, 200)
    for point in points:
        assert ("motion.depth" in point) == (point["motion.kind"] == "cmg")
        assert ("motion.heads" in point) == (point.get("motion.depth") == 2)
        assert ("motion.mlp_hidden" in point) == (point["motion.kind"] == "per_frame_mlp")
    assert {len(point) for point in points} == {2, 3}


def test_grid_has_every_allowed_combination_once() -> None:
    grid = CONDITIONAL.grid()
    assert grid == [
        {"motion.kind": "cmg", "motion.depth": 1},
        {"motion.kind": "cmg", "motion.depth": 2, "motion.heads": 2},
        {"motion.kind": "cmg", "motion.depth": 2, "motion.heads": 4},
        {"motion.kind": "per_frame_mlp", "motion.mlp_hidden": 64},
        {"motion.kind": "per_frame_mlp", "motion.mlp_hidden": 128},
    ]


def test_grid_starts_with_the_fixed_points_and_leaves_out_what_is_forbidden() -> None:
    space = Space(
        {"motion.depth": Integers(int=(1, 3)), "motion.heads": Choice(choice=(2, 4))},
        constraints=(parse_constraint("motion.depth * motion.heads <= 8"),),
        points=({"motion.depth": 2, "motion.heads": 4},),
    )
    assert space.grid() == [
        {"motion.depth": 2, "motion.heads": 4},
        {"motion.depth": 1, "motion.heads": 2},
        {"motion.depth": 1, "motion.heads": 4},
        {"motion.depth": 2, "motion.heads": 2},
        {"motion.depth": 3, "motion.heads": 2},
    ]


def test_size_counts_combinations_and_knows_endless_ones() -> None:
    assert CONDITIONAL.size() == 2 * 2 * 2 * 2
    assert Space({"motion.depth": Integers(int=(1, 3)), "motion.dropout": Uniform(uniform=(0, 1))}).size() is None


def test_violated_names_the_constraint() -> None:
    text = "motion.attention_width / motion.heads >= 32"
    space = Space({"motion.heads": Choice(choice=(2, 16))}, constraints=(parse_constraint(text),))
    assert space.violated({"motion.heads": 2}) is None
    assert space.violated({"motion.heads": 16}) == text


def test_constraints_see_base_and_defaults() -> None:
    text = "motion.attention_width / motion.heads >= 32 and motion.kind == 'cmg'"
    space = Space(
        {"motion.heads": Choice(choice=(2, 16))},
        base={"motion.attention_width": 1024},
        constraints=(parse_constraint(text),),
    )
    assert space.violated({"motion.heads": 16}) is None


def test_what_the_config_itself_refuses_counts_as_violated() -> None:
    space = Space(
        {"motion.patch_size": Choice(choice=(5, 8)), "features.latent_size": Choice(choice=(16, 20))},
    )
    assert space.violated({"motion.patch_size": 5, "features.latent_size": 20}) is None
    violated = space.violated({"motion.patch_size": 5, "features.latent_size": 16})
    assert violated is not None
    assert "must divide" in violated


def test_a_constraint_that_cannot_be_computed_counts_as_violated() -> None:
    space = Space({"noop.fail_at": Integers(int=(0, 2))}, constraints=(parse_constraint("1 / noop.fail_at > 0"),))
    assert space.violated({"noop.fail_at": 1}) is None
    violated = space.violated({"noop.fail_at": 0})
    assert violated is not None
    assert "division by zero" in violated
