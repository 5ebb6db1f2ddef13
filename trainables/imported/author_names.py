"""Names of tensors in the checkpoints of the paper's authors, and in our networks (mind-animator.md, released code).

A rule is a regular expression and its replacement. Each name must match exactly one rule as a whole.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainables.datasets.errors import some


@dataclass(frozen=True)
class Rule:
    """Names that match `theirs` as a whole are called `ours` here; with `ours` None the tensor is left out."""

    theirs: str
    ours: str | None

    def match(self, name: str) -> re.Match[str] | None:
        """Return the match of the whole `name`. Raises `ValueError` if `theirs` is no regular expression."""
        try:
            return re.fullmatch(self.theirs, name)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"the pattern {self.theirs!r} is no regular expression: {error}") from error

    def expand(self, match: re.Match[str], ours: str) -> str:
        """Return our name. Raises `ValueError` if it refers to a group that `theirs` does not have."""
        try:
            return match.expand(ours)
        except (re.error, IndexError) as error:
            raise ValueError(f"the name {ours!r} for the pattern {self.theirs!r} cannot be made: {error}") from error


SEMANTIC = (
    Rule(r"logit_scale", "logit_scale"),
    Rule(r"lin0\.([01])\.(weight|bias)", r"trunk.0.\1.\2"),
    Rule(r"mlp\.0\.(\d)\.(weight|bias)", r"trunk.1.layers.0.\1.\2"),
    Rule(r"mlp\.1\.(\d)\.(weight|bias)", r"trunk.2.layers.0.\1.\2"),
    Rule(r"mlp\.2\.(\d)\.(weight|bias)", r"trunk.3.layers.0.\1.\2"),
    Rule(r"lin1\.(\d)\.(weight|bias)", r"head.\1.\2"),
)
STRUCTURE = (
    Rule(r"lin0\.0\.(weight|bias)", r"layers.0.\1"),
    Rule(r"mlp\.0\.0\.(weight|bias)", r"layers.2.layers.0.\1"),
    Rule(r"mlp\.1\.0\.(weight|bias)", r"layers.3.layers.0.\1"),
    Rule(r"lin1\.0\.(weight|bias)", r"layers.4.\1"),
    Rule(r"lin1\.2\.(weight|bias)", r"layers.6.\1"),
)
_NORM = {"a_2": "weight", "b_2": "bias"}
_ADDS = ("temporal_add", "spatial_add", "ffn_add")
_PROJECTIONS = ("query", "key", "value")
CMG = (
    Rule(r"tgt_embed\.1\.pe", None),
    Rule(r"encoder\.lin0\.([01])\.(weight|bias)", r"encoder.layers.0.\1.\2"),
    Rule(r"encoder\.mlp\.0\.([01])\.(weight|bias)", r"encoder.layers.1.layers.0.\1.\2"),
    Rule(r"encoder\.lin1\.(weight|bias)", r"encoder.out.\1"),
    *(
        Rule(rf"decoder\.layers\.(\d+)\.{theirs}\.linears\.{number}\.(weight|bias)", rf"blocks.\1.{ours}.{name}.\2")
        for theirs, ours in (("self_attn", "temporal"), ("src_attn", "spatial"))
        for number, name in enumerate(_PROJECTIONS)
    ),
    *(
        Rule(rf"decoder\.layers\.(\d+)\.{theirs}\.linears1\.(weight|bias)", rf"blocks.\1.{ours}.out.\2")
        for theirs, ours in (("self_attn", "temporal"), ("src_attn", "spatial"))
    ),
    Rule(r"decoder\.layers\.(\d+)\.feed_forward\.w_1\.(weight|bias)", r"blocks.\1.ffn.0.\2"),
    Rule(r"decoder\.layers\.(\d+)\.feed_forward\.w_2\.(weight|bias)", r"blocks.\1.ffn.2.\2"),
    *(
        Rule(rf"decoder\.layers\.(\d+)\.sublayer\.{number}\.norm\.{theirs}", rf"blocks.\1.{name}.norm.{ours}")
        for number, name in enumerate(_ADDS)
        for theirs, ours in _NORM.items()
    ),
    *(Rule(rf"decoder\.norm\.{theirs}", f"norm.{ours}") for theirs, ours in _NORM.items()),
)
AUTHORS: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("semantic", "mlp"): SEMANTIC,
    ("structure", "mlp"): STRUCTURE,
    ("motion", "cmg"): CMG,
}
"""Stage and kind of decoder to the rules for checkpoints of the released code."""


def renamed(names: Iterable[str], rules: tuple[Rule, ...]) -> dict[str, str]:
    """Return their names to ours, for all tensors that are used.

    Raises:
        ValueError: A name matches no rule or several, two tensors get one name, or a rule is no regular expression.

    Example:
        >>> renamed(["lin0.0.weight", "lin1.2.bias"], STRUCTURE)
        {'lin0.0.weight': 'layers.0.weight', 'lin1.2.bias': 'layers.6.bias'}
    """
    ours: dict[str, str] = {}
    unknown = []
    for name in names:
        answers = [(rule, match) for rule in rules if (match := rule.match(name))]
        if len(answers) != 1:
            unknown.append(f"{name} (matches {len(answers)} rules)")
            continue
        ((rule, match),) = answers
        if rule.ours is not None:
            ours[name] = rule.expand(match, rule.ours)
    if unknown:
        raise ValueError(f"tensors without a name here: {some(unknown, most=8)}")
    twice = sorted({name for name in ours.values() if list(ours.values()).count(name) > 1})
    if twice:
        raise ValueError(f"several tensors of the file would be {', '.join(twice)}")
    return ours
