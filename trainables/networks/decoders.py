"""The untrained networks of the semantic and the structure decoder, by `kind` of their section."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trainables.config.decoders import SemanticConfig, StructureConfig
from trainables.kinds import of_kind
from trainables.networks.ridge import RidgeSemantic, RidgeStructure
from trainables.networks.semantic import SemanticDecoder
from trainables.networks.structure import StructureDecoder
from trainables.stage_definition import SOLVED_KIND

AnySemanticDecoder: TypeAlias = SemanticDecoder | RidgeSemantic
AnyStructureDecoder: TypeAlias = StructureDecoder | RidgeStructure


def semantic_decoder(
    config: SemanticConfig, *, voxels: int, clip_dim: int, condition: tuple[int, int]
) -> AnySemanticDecoder:
    """Return an untrained semantic decoder. `condition` is (tokens, width), without the begin token."""
    kinds: Mapping[str, Callable[[], AnySemanticDecoder]] = {
        "mlp": lambda: SemanticDecoder(config, voxels=voxels, clip_dim=clip_dim, condition=condition),
        SOLVED_KIND: lambda: RidgeSemantic(voxels, clip_dim=clip_dim, condition=condition),
    }
    return of_kind(kinds, config.kind, field="semantic.kind")()


def structure_decoder(config: StructureConfig, *, voxels: int, latent: Sequence[int]) -> AnyStructureDecoder:
    """Return an untrained structure decoder for a latent of shape `latent`, [c,h,w]."""
    sizes = {"hidden": config.hidden, "residual_layers": config.residual_layers}
    kinds: Mapping[str, Callable[[], AnyStructureDecoder]] = {
        "mlp": lambda: StructureDecoder(voxels, latent, dropout=config.dropout, **sizes),
        SOLVED_KIND: lambda: RidgeStructure(voxels, latent),
    }
    return of_kind(kinds, config.kind, field="structure.kind")()
