"""From what a user calls a model to a directory on this machine."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from pathlib import Path

from scenescope.errors import CheckpointError, nearest
from scenescope.files import whole_directory

BOX_PACKAGE = "scenescope_box"
"""A separate distribution that carries trained models; its module lists their directories in ``MODELS``."""

HOW_TO_GET_THE_BOX = "pip install ./box in a clone of scenescope"

_BARE_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def find_model(name: str | Path | None) -> Path:
    """Return the directory of a model.

    Args:
        name: a bare word (a model in the box), ``hub:org/name`` (downloaded once from the Hugging Face hub), a
            path to a model directory, or None for the first model in the box. A path never touches the network.

    Raises:
        CheckpointError: there is no such model; the message says what to type.
    """
    if name is None:
        return _first_in_box()
    text = str(name)
    if text.startswith("hub:"):
        return _from_hub(text.removeprefix("hub:"))
    if isinstance(name, str) and _BARE_WORD.fullmatch(text):
        return _in_box(text)
    path = whole_directory(Path(text).expanduser())
    if not text.strip() or not path.exists():
        given = Path(text) if text.strip() else repr(text)
        raise CheckpointError(f"There is no model at {given}. Give a model directory, such as RUN/best of a training.")
    return path


def models_in_box() -> dict[str, Path]:
    """Return the directories of the installed models by name; empty when the box is not installed."""
    if importlib.util.find_spec(BOX_PACKAGE) is None:
        return {}
    models: dict[str, Path] = importlib.import_module(BOX_PACKAGE).MODELS
    return models


@functools.cache
def _tell_license() -> None:
    """Say once what the models in the box may be used for."""
    print(importlib.import_module(BOX_PACKAGE).NOTICE, file=sys.stderr)


def _first_in_box() -> Path:
    models = models_in_box()
    if not models:
        raise CheckpointError(
            "No model was named and no models are installed. Name one with --model DIR (RUN/best of a training), make"
            f" one with scenescope demo, or install those in the box: {HOW_TO_GET_THE_BOX}."
        )
    _tell_license()
    return next(iter(models.values()))


def _in_box(word: str) -> Path:
    models = models_in_box()
    if word in models:
        _tell_license()
        return models[word]
    installed = f"installed: {', '.join(models)}" if models else f"not installed; {HOW_TO_GET_THE_BOX}"
    folder = f" For the folder of that name, write ./{word}" if Path(word).exists() else ""
    raise CheckpointError(
        f"There is no model {word!r} in the box ({installed}).{nearest(word, models)}{folder or ' A path has a /'}."
    )


def _from_hub(repository: str) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise CheckpointError(f"hub:{repository} is not a hub model; the form is hub:organization/name.")
    import huggingface_hub

    try:
        directory = huggingface_hub.snapshot_download(
            repository, allow_patterns=["config.json", "model.safetensors", "SHA256SUMS"]
        )
    except Exception as error:
        # The hub's client has many kinds of errors for one outcome: the model is not here.
        reason = (str(error).strip().splitlines() or [""])[0][:160]
        raise CheckpointError(
            f"The model hub:{repository} could not be downloaded ({type(error).__name__}: {reason})."
            " Check the name and the network, or name a model directory on this machine."
        ) from error
    return Path(directory)
