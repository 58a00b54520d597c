"""`groovemark model`: the models in MODEL_PATH."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groovemark.cli.failing import clear_errors
from groovemark.config import Settings

if TYPE_CHECKING:
    from groovemark.ml.models.artifact import Manifest

model = typer.Typer(help="The models in MODEL_PATH.", no_args_is_help=True)
imports = typer.Typer(
    help="Bring a model from elsewhere into MODEL_PATH, where workers find it at their next start.",
    no_args_is_help=True,
)
model.add_typer(imports, name="import")


class Precision(StrEnum):
    """In which a network answers."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


@imports.command("musicnn")
def import_musicnn(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            help="The wheel of the PyPI package, or a folder that holds it or its weights as npz; by default the "
            "installed package.",
        ),
    ] = None,
) -> None:
    """The weights of MusiCNN, which do not come with groovemark: 50 tags, and features for other models."""
    from groovemark.ml.models.musicnn import importing

    with clear_errors():
        manifest = importing.import_musicnn(Settings().model_path, source)
    _tell(manifest)
    typer.secho(f"Licence of musicnn: {manifest.licence}. CARD.md has its text.", err=True)


@imports.command("transformer")
def import_transformer(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_NAME",
            help="A folder with config.json, model.safetensors and preprocessor_config.json, or a name on Hugging "
            "Face's hub, such as MIT/ast-finetuned-audioset-10-10-0.4593.",
        ),
    ],
    name: Annotated[str, typer.Option(help="Of the model in MODEL_PATH.")],
    task: Annotated[
        str, typer.Option(help="What its labels are; by default genre, or tags where a track has several.")
    ] = "",
    precision: Annotated[
        Precision,
        typer.Option(
            help="bf16 is for processors and cards that have it; int8 is for spectrograms, and needs the extra "
            "openvino."
        ),
    ] = Precision.FP32,
    is_multi_label: Annotated[
        bool | None,
        typer.Option(
            "--multi-label/--single-label",
            help="Whether each label has a probability of its own; by default as the checkpoint says.",
        ),
    ] = None,
) -> None:
    """A classifier of audio in Hugging Face's format: an Audio Spectrogram Transformer, HuBERT, wav2vec 2.0 or WavLM.

    Nothing of it is executed: no pickles, no code. The last three need the extra transformer, here and in workers.
    """
    with clear_errors():
        try:
            from groovemark.ml.models.importing import import_checkpoint
        except ModuleNotFoundError as error:
            _require_torch(error)
        manifest = import_checkpoint(
            Settings().model_path,
            source,
            name=name,
            task=task,
            precision=precision.value,
            is_multi_label=is_multi_label,
        )
    _tell(manifest)
    typer.secho(f"Licence of {name}: {manifest.licence}.", err=True)


@imports.command("mlflow")
def import_mlflow(
    name: Annotated[str, typer.Argument(help="Of the registered model.")],
    version: Annotated[str, typer.Argument(help="Its number in the registry, or an alias.")],
    uri: Annotated[
        str,
        typer.Option(
            "--from", envvar="MLFLOW_TRACKING_URI", help="http(s)://… of an MLflow server, or sqlite:///FILE."
        ),
    ],
) -> None:
    """A model that `groovemark train --track` registered in MLflow, its files checked against its manifest."""
    from groovemark.ml.export.mlflow_registry import fetch

    with clear_errors():
        _tell(fetch(Settings().model_path, uri, name, version))


def _require_torch(error: ModuleNotFoundError) -> None:
    from groovemark.errors import ConfigurationError

    if error.name not in ("torch", "safetensors"):
        raise error
    raise ConfigurationError(f"transformers need {error.name}: pip install '.[torch]'") from error


def _tell(manifest: Manifest) -> None:
    folder = Settings().model_path / manifest.name / manifest.version
    print(f"{manifest.full_name}: {manifest.size_bytes:,} bytes in {folder}")
