"""`python -m platform.checkpoint import FILE --stage STAGE | --judge vifi`: makes weights of others usable here."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from platform.cli import Answer, VerbParser, add_settings, run_verb, verb_parser
from platform.errors import UserError
from platform.process_end import run_command
from platform.study.command_config import config_with
from platform.study.yaml_source import read
from trainables.config.trial import TrialConfig
from trainables.imported.author_names import AUTHORS, Rule, renamed

_DESCRIPTION = """\
Read the weights of a decoder that was trained elsewhere, such as the authors' own, and write a folder that
STAGE.weights of a study can name. Nothing in the file is executed. Every tensor must fit the network exactly.

The network is that of the paper (preset: paper, profile: released_code) unless --set says otherwise. Names of tensors
are those of the released code unless --names gives a YAML mapping from patterns to names here (null: left out).

With --judge vifi the file is ViFi-CLIP as its authors publish it (or a CLIP of OpenAI's with a ViT, saved as its state
dict), and evaluate.vifi of a study, or --vifi of `python -m platform.evaluate`, can name the folder."""
_STAGES = ("semantic", "structure", "motion")
_PAPER = {"preset": "paper", "profile": "released_code"}
_CLIP_WIDTH, _TOKEN_WIDTH, _LATENT_CHANNELS, _FRAMES = 512, 768, 4, 8
"""Of CLIP B/32, of Stable Diffusion 1.5 and of the paper's clips."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    return run_verb(_parser(), _answer, argv)


def _parser() -> VerbParser:
    parser = verb_parser("checkpoint", _DESCRIPTION)
    parser.add_argument("action", choices=["import"], help="what to do with the file")
    parser.add_argument("file", metavar="FILE", type=Path, help="a .safetensors file, or one of torch.save")
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--stage", choices=_STAGES, help="the decoder that the weights are of")
    network.add_argument("--judge", choices=["vifi"], help="the judge that the weights are of")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="folder to write (default: FILE without its suffix)")
    parser.add_argument("--names", metavar="YAML", type=Path, help="patterns of names in FILE to names here")
    add_settings(parser)
    return parser


def _answer(arguments: argparse.Namespace) -> Answer:
    file = arguments.file
    out = (file.with_suffix("") if arguments.out is None else arguments.out).absolute()
    if out.exists():
        raise UserError(f"--out: {out} exists already; name another folder")
    try:
        return _judge(arguments, out) if arguments.stage is None else _decoder(arguments, out)
    except ValueError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written: {error}") from error


def _judge(arguments: argparse.Namespace, out: Path) -> Answer:
    """Import ViFi-CLIP. Raises `ValueError`."""
    if arguments.names is not None or arguments.settings:
        raise UserError("--names and --set are for decoders (--stage); the file says of which size the judge is")
    from trainables.imported.vifi import import_vifi  # seconds to import

    parameters = import_vifi(arguments.file, out)
    text = f"{out}\n{parameters:,} parameters; in a study: evaluate.vifi: {out}"
    return Answer({"folder": str(out), "judge": arguments.judge, "parameters": parameters}, text)


def _decoder(arguments: argparse.Namespace, out: Path) -> Answer:
    """Import the weights of a decoder. Raises `ValueError`."""
    stage = arguments.stage
    config = config_with(arguments.settings, base=_PAPER, example="motion.patch_size=64")
    kind = getattr(config, stage).kind
    rules = _rules(arguments.names, stage, kind)
    parameters = _import(arguments.file, out, config=config, stage=stage, kind=kind, rules=rules)
    text = f"{out}\n{parameters:,} parameters; in a study: {stage}.weights: {out}"
    return Answer({"folder": str(out), "stage": stage, "kind": kind, "parameters": parameters}, text)


def _import(file: Path, out: Path, *, config: TrialConfig, stage: str, kind: str, rules: tuple[Rule, ...]) -> int:
    """Check and write the weights; return how many there are. Raises `ValueError`."""
    import torch  # seconds to import

    from trainables.graph import resolve_reference
    from trainables.imported.loading import Source, check_against, converted, read_checkpoint, write_weights
    from trainables.imported.weights_folder import network_of
    from trainables.stage_table import STAGES

    theirs = read_checkpoint(file)
    try:
        renamed(theirs, rules)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; {_advice(theirs, stage)}") from error
    tensors = converted(theirs, rules, file=file)
    builder = STAGES[stage].builder
    assert builder is not None  # these three stages have one
    voxels = _voxels(stage, kind, tensors, file)
    with torch.device("meta"):
        network = resolve_reference(builder)(getattr(config, stage).model_dump(), voxels, _shapes(config))
    problems = check_against(network, tensors)
    if problems:
        sizes = f"the network of {stage} with {voxels} voxels, as --set and its defaults describe it"
        raise ValueError(f"{file}: does not fit {sizes}: {'; '.join(problems)}; {_advice(theirs, stage)}")
    network_fields = network_of(config, stage, kind)
    write_weights(out, tensors, stage=stage, kind=kind, network=network_fields, source=Source.of(file))
    return sum(tensor.numel() for tensor in tensors.values())


def _advice(names: Iterable[str], stage: str) -> str:
    """Return what to do about a file with tensors `names` that is no checkpoint of `stage` as --set describes it."""
    for likely in ("structure", "semantic", "motion"):  # all names of a structure decoder are some of a semantic one's
        with suppress(ValueError):
            renamed(names, AUTHORS[likely, _PAPER_KINDS[likely]])
            return "--set gives other sizes" if likely == stage else f"its names are those of --stage {likely}"
    return f"is it a checkpoint of {stage}? --names can give other names"


_PAPER_KINDS: Mapping[str, str] = {"semantic": "mlp", "structure": "mlp", "motion": "cmg"}
_FIRST_LAYERS: Mapping[tuple[str, str], str] = {
    ("semantic", "mlp"): "trunk.0.0.weight",
    ("structure", "mlp"): "layers.0.weight",
    ("motion", "cmg"): "encoder.layers.0.0.weight",
    ("motion", "cmg_small_patch"): "encoder.1.weight",
}
"""Stage and kind to the layer whose inputs are the voxels."""


def _voxels(stage: str, kind: str, tensors: Mapping[str, Any], file: Path) -> int:
    name = _FIRST_LAYERS.get((stage, kind))
    if name is None:
        raise ValueError(f"weights of {stage}.kind: {kind} cannot be imported")
    if name not in tensors:
        raise ValueError(f"{file}: {name}, the layer of the voxels, is missing; is it a checkpoint of {stage}?")
    return int(tensors[name].shape[1])


def _shapes(config: TrialConfig) -> dict[str, list[int]]:
    """Return the shapes of the predictions for one clip."""
    latent = [_LATENT_CHANNELS, config.features.latent_size, config.features.latent_size]
    return {
        "embedding": [_CLIP_WIDTH],
        "condition": [config.features.condition_tokens - 1, _TOKEN_WIDTH],
        "first_latent": latent,
        "latents": [_FRAMES, *latent],
    }


def _rules(names: Path | None, stage: str, kind: str) -> tuple[Rule, ...]:
    if names is not None:
        return names_of_file(names)
    if (stage, kind) not in AUTHORS:
        raise UserError(f"names of checkpoints of {stage}.kind: {kind} are not known; give them with --names")
    return AUTHORS[stage, kind]


def names_of_file(path: Path) -> tuple[Rule, ...]:
    """Return the rules of a YAML file for `--names`. Raises `UserError`."""
    mapping = read(path).data
    wrong = [key for key, value in mapping.items() if not isinstance(value, str | None)]
    if wrong:
        raise UserError(f"{path}: {', '.join(map(str, wrong))}: must be a name here, or null")
    return tuple(Rule(str(theirs), ours) for theirs, ours in mapping.items())


if __name__ == "__main__":
    run_command(main)
