"""Compare the networks of other code with what ``scenescope convert`` makes of their checkpoints.

    python benchmarks/parity.py --official-2020 DIR --official-2018 DIR --tramac DIR --mmseg DIR [--output FILE.md]

Each DIR holds the other code as it comes: a checkout of github.com/junfu1115/DANet (2018: commit c7a2f60), of
github.com/Tramac/awesome-semantic-segmentation-pytorch, or what ``pip install --no-deps --target DIR`` makes of
mmsegmentation, mmcv-lite and mmengine with what they import. Nothing of it is edited; modules that cannot be imported
without a compiler or that no network here uses are stood in for. Weights are random, the same for both, and nothing
is downloaded. Exit code 1 if a difference is 1e-4 or more.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import in_fresh_process, machine, table
from torch import Tensor, nn

from scenescope.backbones.build import count_parameters
from scenescope.checkpoints.convert import convert
from scenescope.checkpoints.model_directory import load_model

LARGEST = 1e-4
SIZES = ((97, 129), (160, 96))


class Case(NamedTuple):
    """A network of other code.

    Attributes:
        network: in its own class.
        answer: its logits at the size of the image.
        checkpoint: from its weights to what its code saves.
        options: of ``convert``, what such a file does not tell.
    """

    title: str
    network: nn.Module
    answer: Callable[[nn.Module, Tensor], Tensor]
    checkpoint: Callable[[dict[str, Tensor]], dict[str, Any]]
    options: dict[str, Any]


def main() -> None:
    """Compare, print a table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for peer in PEERS:
        parser.add_argument(f"--{peer}", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path)
    arguments = vars(parser.parse_args())
    rows, worst = [], 0.0
    for peer in PEERS:
        folder = arguments[peer.replace("-", "_")]
        if folder is None:
            continue
        for title, keys, theirs, ours, difference in in_fresh_process(compared, peer, folder):
            rows.append([title, str(keys), f"{theirs:,}", f"{ours:,}", f"{difference:.1e}"])
            worst = max(worst, difference)
            print(*rows[-1], file=sys.stderr)
    header = ["network", "keys", "its parameters", "ours", "largest difference"]
    command = "python benchmarks/parity.py " + " ".join(sys.argv[1:])
    page = (
        "\n\n".join(["# Held to the originals", f"    {command}", machine(), EXPLANATION, table(header, rows)]) + "\n"
    )
    print(page)
    if arguments["output"] is not None:
        arguments["output"].write_text(page)
    sys.exit(worst >= LARGEST)


EXPLANATION = f"""\
The original code of each network with random weights, batch-norm statistics and attention scales; its checkpoint,
converted by `scenescope convert`; and both asked about the same random images of {SIZES[0][0]} x {SIZES[0][1]} and
{SIZES[1][0]} x {SIZES[1][1]}. The difference is that of the logits at the size of the image, relative to the largest
one. The classifier of ImageNet that some networks carry along is not counted among the parameters. Nothing in the
other code was edited; the folders in the command are named after its commit or version. Stood in for were what needs a
compiler (C++ parts of `encoding` and mmcv), a debugger (`ipdb`), synchronized norms (plain ones here), and downloads of
ImageNet weights."""


def compared(peer: str, folder: Path) -> list[tuple[str, int, int, int, float]]:
    """Return title, number of keys, parameters there and here, and difference of each network of a peer."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(folder.resolve()))
    return [(case.title, *measured(case)) for case in PEERS[peer]()]


def measured(case: Case) -> tuple[int, int, int, float]:
    """Return number of keys, parameters there and here, and the largest difference."""
    torch.manual_seed(0)
    awaken(case.network.eval())
    state = case.network.state_dict()
    with tempfile.TemporaryDirectory() as place:
        torch.save(case.checkpoint(state), f"{place}/checkpoint.pth.tar")
        convert(f"{place}/checkpoint.pth.tar", f"{place}/model", options=case.options)
        ours = load_model(f"{place}/model").network
    difference = 0.0
    with torch.inference_mode():
        for size in SIZES:
            images = torch.randn(1, 3, *size)
            answer = ours(images, stretch=True).logits  # as all of these do
            difference = max(difference, relative_difference(answer, case.answer(case.network, images)))
    theirs = sum(p.numel() for key, p in case.network.named_parameters() if not key.startswith("pretrained.fc."))
    return len(state), theirs, count_parameters(ours), difference


def relative_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative to the largest number of the other."""
    return float((one - other).abs().max() / other.abs().max())


def awaken(network: nn.Module) -> None:
    """Draw what starts at 0 or 1: norms with their statistics, and the scales of attention."""
    for name, weight in network.named_parameters():
        if weight.numel() == 1:
            nn.init.uniform_(weight, 0.3, 0.7)
        elif weight.ndim == 1 and name.endswith("weight"):
            nn.init.uniform_(weight, 0.7, 0.9)  # of norms; residual sums stay small
        elif weight.ndim == 1:
            nn.init.uniform_(weight, -0.1, 0.1)
    for name, statistic in network.named_buffers():
        if name.endswith("running_mean"):
            nn.init.uniform_(statistic, -0.1, 0.1)
        elif name.endswith("running_var"):
            nn.init.uniform_(statistic, 0.5, 1.5)


class Stub(types.ModuleType):
    """A module that has every name; what is asked for is an empty class."""

    __path__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (nn.Module,), {})


def stand_in(name: str, **content: Any) -> types.ModuleType:
    """Put a module of this content in the place of one that cannot be imported."""
    module = Stub(name)
    vars(module).update(content)
    sys.modules[name] = module
    return module


def package(name: str) -> Stub:
    """Put a package in place whose modules can be imported while its own ``__init__`` is not run."""
    module = Stub(name)
    module.__path__ = tuple(str(Path(place, *name.split("."))) for place in sys.path[:1])
    sys.modules[name] = module
    return module


def public(module: str) -> dict[str, Any]:
    """Import a module and return what it exports."""
    found = importlib.import_module(module)
    return {name: getattr(found, name) for name in found.__all__}


def released(state: dict[str, Tensor]) -> dict[str, Any]:
    """As the official code saves: weights of a parallel network, beside what a training needs."""
    return {"epoch": 240, "state_dict": {f"module.{key}": value for key, value in state.items()}, "best_pred": 0.8}


def official_2020() -> Iterator[Case]:
    """DANet and DRANet of the official code since August 2020."""
    for name in ("encoding", "encoding.models", "encoding.models.sseg", "encoding.models.backbone"):
        package(name)
    stand_in("ipdb")
    stand_in("encoding.utils")
    stand_in("encoding.models.model_store")
    layers = package("encoding.nn")
    stand_in("encoding.nn.syncbn", SyncBatchNorm=nn.BatchNorm2d)
    for module in ("da_att", "dran_att"):
        vars(layers).update(public(f"encoding.nn.{module}"))
    vars(layers)["GlobalAvgPool2d"] = nn.Identity  # of the classifier, which no network here calls
    base = importlib.import_module("encoding.models.sseg.base")
    variants = importlib.import_module("encoding.models.backbone.resnet_variants")

    def backbone(name: str, *, pretrained: bool, **how: Any) -> nn.Module:
        created: nn.Module = getattr(variants, name)(pretrained=False, **how)
        return created

    base.get_backbone = backbone
    danet = importlib.import_module("encoding.models.sseg.danet").DANet
    dranet = importlib.import_module("encoding.models.sseg.dran").Dran
    grids = {"multi_grid": True, "multi_dilation": [4, 8, 16]}
    for depth, classes in ((50, 19), (50, 59), (101, 21)):
        network = danet(classes, f"resnet{depth}s", norm_layer=nn.BatchNorm2d, **grids)
        title = f"DANet, official code of 2020, ResNet-{depth}, {classes} classes"
        yield Case(title, network, first, released, {})
    for depth, classes in ((50, 19), (50, 59), (101, 19)):
        network = dranet(classes, f"resnet{depth}s", norm_layer=nn.BatchNorm2d, **grids)
        title = f"DRANet, official code, ResNet-{depth}, {classes} classes"
        yield Case(title, network, first, released, {})


def official_2018() -> Iterator[Case]:
    """DANet of the official code before."""
    for name in ("encoding", "encoding.models", "encoding.nn"):
        package(name)
    stand_in("encoding.utils")
    stand_in("encoding.models.model_store")
    vars(sys.modules["encoding.nn"]).update(public("encoding.nn.attention"))
    resnets = importlib.import_module("encoding.dilated.resnet")
    without_download = {
        name: (lambda make: lambda *, pretrained, root, **how: make(pretrained=False, **how))(getattr(resnets, name))
        for name in ("resnet50", "resnet101")
    }
    stand_in("encoding.dilated", **without_download)
    vars(sys.modules["encoding"])["dilated"] = sys.modules["encoding.dilated"]
    base = importlib.import_module("encoding.models.base")
    vars(sys.modules["encoding.models"])["BaseNet"] = base.BaseNet
    danet = importlib.import_module("encoding.models.danet").DANet
    for depth, classes, grid in ((50, 19, True), (50, 59, False), (101, 19, True)):
        how = {"multi_grid": grid, "multi_dilation": [4, 8, 16] if grid else None}
        network = danet(classes, f"resnet{depth}", norm_layer=nn.BatchNorm2d, **how)
        title = f"DANet, official code of 2018, ResNet-{depth}, {classes} classes{'' if grid else ', no multi-grid'}"
        yield Case(title, network, first, released, {} if grid else {"multi_grid": None})


def tramac() -> Iterator[Case]:
    """DANet of awesome-semantic-segmentation-pytorch."""
    for name in ("core", "core.models", "core.models.base_models", "core.nn"):
        package(name)
    danet = importlib.import_module("core.models.danet").DANet
    for depth, classes in ((50, 19), (50, 21), (101, 19)):
        network = danet(classes, f"resnet{depth}", pretrained_base=False)
        title = f"DANet, awesome-semantic-segmentation-pytorch, ResNet-{depth}, {classes} classes"
        yield Case(title, network, first, dict, {})


def first(network: nn.Module, images: Tensor) -> Tensor:
    """Return the first of several outputs, which is the answer."""
    outputs = network(images)
    return outputs[0] if isinstance(outputs, list | tuple) else outputs


def mmseg() -> Iterator[Case]:
    """DANet, FCN, PSPNet, DeepLabV3 and V3+ of mmsegmentation, from its own configurations."""
    stand_in("mmcv._ext")
    package_of = importlib.import_module("mmseg")
    from mmengine.config import Config  # type: ignore[import-not-found]

    importlib.import_module("mmseg.models")
    registry = importlib.import_module("mmseg.registry").MODELS
    folder = Path(package_of.__file__ or "").parent / ".mim" / "configs" / "_base_" / "models"
    for model in ("danet", "fcn", "pspnet", "deeplabv3", "deeplabv3plus"):
        for classes, align_corners, dilated in ((19, False, True), (21, True, True), (59, False, False)):
            settings = Config.fromfile(folder / f"{model}_r50-d8.py").model
            settings.pretrained = None
            settings.backbone.norm_cfg = {"type": "BN"}
            if not dilated:
                settings.backbone.update(dilations=(1, 1, 1, 2), strides=(1, 2, 2, 1))
                if "dilations" in settings.decode_head:  # half of those at stride 8, as published
                    settings.decode_head.update(dilations=(1, 6, 12, 18))
            for head in (settings.decode_head, settings.auxiliary_head):
                head.update(num_classes=classes, align_corners=align_corners, norm_cfg={"type": "BN"})
            settings.pop("data_preprocessor")
            network = registry.build(settings)
            stride = 8 if dilated else 16
            told = f"{classes} classes, output stride {stride}{', aligned corners' if align_corners else ''}"
            yield Case(
                f"{model}, mmsegmentation {package_of.__version__}, ResNet-50, {told}",
                network,
                resized,
                lambda state: {"meta": {"iter": 40000}, "state_dict": state},
                {"align_corners": align_corners, "output_stride": stride},
            )


def resized(network: nn.Module, images: Tensor) -> Tensor:
    """Return mmsegmentation's answer at the size of the image."""
    head: Any = network.decode_head
    return nn.functional.interpolate(
        network.encode_decode(images, [{"img_shape": images.shape[2:]}]),  # type: ignore[operator]
        images.shape[2:],
        mode="bilinear",
        align_corners=head.align_corners,
    )


PEERS: dict[str, Callable[[], Iterator[Case]]] = {
    "official-2018": official_2018,
    "official-2020": official_2020,
    "tramac": tramac,
    "mmseg": mmseg,
}

if __name__ == "__main__":
    main()
