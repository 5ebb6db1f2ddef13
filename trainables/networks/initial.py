"""Initial weights of the decoders."""

from collections.abc import Callable, Mapping

from torch import nn

from trainables.kinds import of_kind


def _xavier(model: nn.Module) -> None:
    """Draw every matrix anew from Xavier's uniform distribution, as the released code does. Vectors stay."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


_INITIAL: Mapping[str, Callable[[nn.Module], None]] = {"torch": lambda model: None, "xavier": _xavier}
"""`train.init` to what is done to an untrained network that has the initial weights of torch's layers."""


def initialise(model: nn.Module, kind: str) -> None:
    """Give `model` the initial weights of `train.init`. Random numbers come from torch's default generator."""
    of_kind(_INITIAL, kind, field="train.init")(model)
