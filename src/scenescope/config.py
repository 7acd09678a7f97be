"""All settings of a run: one tree of frozen dataclasses, and the one reader that makes them of plain values.

A ``Config`` is what a recipe says; it is handed down as it is. The options of each network (``models/options.py``) are
read by the same reader. Nothing here loads torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Interval

from scenescope.bands import BandRule, declared_rule
from scenescope.errors import DataError
from scenescope.old_names import renamed
from scenescope.settings_reader import read_settings
from scenescope.yaml_reader import write_yaml

Count = Annotated[int, Ge(1)]
CountOrNone = Annotated[int, Ge(0)]
Factor = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]

ClassWeighting = Literal["none", "median_frequency", "sqrt_median_frequency"]
ImageLabelTarget = Literal["presence", "area"]


@dataclass(frozen=True)
class NetworkOptions:
    """What every network of the catalog can be told; its own options come on top (``models/options.py``)."""

    name: str = "danet"
    """Network of the catalog: danet, sanet, fcn, ...; scenescope models lists them."""
    backbone: str = "resnet50"
    """Any timm network with features at four stages."""
    output_stride: int = 8
    """8, 16 or 32: how much smaller the last features are than the image."""
    in_channels: Count = 3
    """Bands that the network sees; a training takes the number of its data."""
    multi_grid: tuple[int, ...] | None = None
    """Dilation of the blocks of a ResNet's last stage, such as [4, 8, 16]."""
    align_corners: bool = True
    """Whether resizing keeps corner pixels in place, as the official DANet code does."""
    input_scale: Annotated[float, Interval(gt=0, le=8)] = 1.0
    """Factor by which images are enlarged before the backbone sees them, in training and prediction alike."""
    refinement_channels: CountOrNone = 0
    """Channels of a correction of the logits at half the size of the image; 0 leaves it out, as published."""
    remainder: tuple[int, int] = (0, 0)
    """What height and width of an image, enlarged and filled up, leave when divided by the output stride; [1, 1] for
    crops such as 769 x 769 with corners aligned."""


@dataclass(frozen=True)
class ModelSettings(NetworkOptions):
    """Which network to build."""

    pretrained: bool = True
    """Start the backbone from ImageNet weights."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of this network alone, such as channel_form: paper."""


@dataclass(frozen=True)
class DataSettings:
    """Which data set to train and validate on.

    Raises:
        ValueError: bands or a range that are none.
    """

    kind: str
    """The kind of data set: ``scenes``, ``folder``, ``camvid``, ``cityscapes``, ... (see ``data/catalog.py``)."""
    root: str = ""
    """The folder that holds it; for ``scenes`` a seed, or nothing."""
    train_split: str = "train"
    """The split that is trained on."""
    val_split: str = "val"
    """The split that is scored."""
    val_fraction: Annotated[float, Interval(gt=0, lt=1)] | None = None
    """For ``folder`` without splits of its own: the share of pairs, drawn at random, that becomes ``val``."""
    val_seed: CountOrNone = 0
    """The seed of that draw; the same seed gives the same pairs on every machine."""
    classes: str | int | None = None
    """Which classes, where the kind leaves a choice: such as 60 for ``pascal_context``, ``voc`` for ``coco_stuff``."""
    bands: tuple[CountOrNone, ...] | None = None
    """The bands of the images that the network sees, from 0, such as [3, 2, 1]; gray or RGB when not given. Bands and
    range given here replace those of a ``classes.yaml``."""
    range: tuple[float, float] | tuple[tuple[float, float], ...] | None = None
    """The numbers that are black and white, such as [0, 3000], or one such pair for each band; 8 bit when not given."""

    def __post_init__(self) -> None:
        try:
            declared_rule(self.bands, self.range)
        except DataError as error:
            raise ValueError(str(error)) from error

    @property
    def rule(self) -> BandRule | None:
        """How images are seen, where bands or range are given."""
        return declared_rule(self.bands, self.range)


@dataclass(frozen=True)
class AugmentSettings:
    """How each training image is scaled, cropped, mirrored and recolored, at random.

    Raises:
        ValueError: the smallest scale is above the largest.
    """

    crop: tuple[Count, Count]
    """Height and width of a training image, in pixels."""
    scale: tuple[Factor, Factor] = (0.5, 2.0)
    """Smallest and largest enlargement of the source; each one between is equally likely."""
    rare_class_share: Share = 0.0
    """The share of crops that are placed to show a rare class: one of the classes in the scene is drawn, each with a
    chance inverse to its number of pixels there, then one of its pixels, then a window that shows it. The scenes read
    stay the same, and the smaller the crop is beside the scene, the more this does."""
    max_class_share: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """A crop is placed anew, up to ten times, while a class fills this share of its scored pixels or more; 1: never."""
    flip: Share = 0.5
    """The share of images that is mirrored left to right."""
    brightness: Share = 0.0
    """Brightness is multiplied by a factor within this distance of 1."""
    contrast: Share = 0.0
    """Contrast is multiplied by a factor within this distance of 1."""
    saturation: Share = 0.0
    """Saturation is multiplied by a factor within this distance of 1."""
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    """Hue is turned by up to this share of the color circle, either way."""

    def __post_init__(self) -> None:
        low, high = self.scale
        if low > high:
            raise ValueError(f"scale is ({low}, {high}), but the smallest comes first: write [{high}, {low}].")


@dataclass(frozen=True)
class LossSettings:
    """What to minimize."""

    class_weights: ClassWeighting | tuple[Weight, ...] = "none"
    """Weights of the classes: computed from the training labels, or one number per class."""
    ohem_fraction: Annotated[float, Interval(gt=0, le=1)] | None = None
    """Online hard example mining: score only this share of each image's pixels, the hardest."""
    weights: dict[str, Weight] = field(default_factory=dict)
    """Weight of the loss of each output by name, such as main; those not named keep the published weight."""
    image_label_target: ImageLabelTarget = "presence"
    """What logits of whole images are to say of each class: that it is there, or its share of the pixels."""
    dice: Weight = 0.0
    """Weight of the Dice loss of the prediction, beside its cross-entropy; class weights do not touch it."""
    lovasz: Weight = 0.0
    """Weight of the Lovász-softmax loss (of the IoU) of the prediction, beside its cross-entropy; likewise."""
    attention: Weight = 0.0
    """Weight of the vote: teaches attention (SANet: its last head) to attend to its own class; 0 as published."""


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Raises:
        ValueError: a part of a model is to be taken, and no model is named.
    """

    steps: Count = 10_000
    """Number of optimizer steps."""
    batch_size: Count = 8
    """Images per optimizer step, over all processes and accumulation steps together."""
    grad_accum_steps: Count = 1
    """Number of micro-batches that a process's share of the batch is cut into, to save memory."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    lr: Factor = 0.003
    """Learning rate of the backbone at the start of the schedule."""
    head_lr_mult: Factor = 10.0
    """The heads' learning rate is this many times that of the backbone."""
    attention_lr_mult: Factor = 1.0
    """The learning rate of the scales of attention, alpha and beta, is this many times that of the heads."""
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: Weight = 1e-4
    """Weight decay."""
    weight_decay_on_norms_and_biases: bool = True
    """Whether norms, biases and the scales of attention decay too."""
    poly_power: Weight = 0.9
    """The learning rate falls as (1 - step / steps) ** power."""
    min_lr: Weight = 0.0
    """The schedule never falls below this learning rate of the backbone; warm-up starts lower."""
    warmup_steps: CountOrNone = 0
    """Number of first steps over which the learning rate rises linearly to that of the schedule."""
    grad_clip_norm: Factor | None = None
    """Largest norm of all gradients together."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Number format of the heavy operations (mixed precision); auto is what the device gains from, see device.py."""
    channels_last: bool | None = None
    """Memory layout with channels last; what device and network are faster with when not given."""
    deterministic: bool = False
    """Give the same bits each time on a GPU, too, where it costs time; a CPU does so anyway."""
    ema_decay: Annotated[float, Interval(gt=0, lt=1)] | None = None
    """Keep an exponential moving average of the weights with this decay, and evaluate and save that."""
    norm: Literal["batch", "sync", "frozen"] = "batch"
    """Batch norm of each process, synchronized over GPUs, or frozen as it is (in a new head: mean 0, scale 1)."""
    seed: CountOrNone = 0
    """Seed of weights, order, augmentation and dropout."""
    num_workers: CountOrNone | None = None
    """Processes that read images; as many as device and cores ask for when not given."""
    init_from: str | None = None
    """A model whose weights to start from (fine-tuning); classes take what those of the same name have learnt."""
    take: Literal["network", "backbone"] = "network"
    """What to take of that model: all of it, or its backbone alone, as for another network."""
    log_every: Count = 10
    """Steps between rows of the log."""
    tensorboard: bool = False
    """Also log to TensorBoard (extra ``logs``)."""
    validate_every: Count = 500
    """Steps between validations."""
    checkpoint_every: Count = 500
    """Steps between checkpoints; there is one before each validation, too."""
    keep_checkpoints: Count = 2
    """Number of newest checkpoints to keep."""

    def __post_init__(self) -> None:
        if self.take != "network" and self.init_from is None:
            raise ValueError(f"take is {self.take}, but of which model? Give train.init_from=MODEL too.")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run; sections left out keep their defaults, but data and augment have to be told."""

    model: ModelSettings = ModelSettings()
    data: DataSettings
    augment: AugmentSettings
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()

    @classmethod
    def from_dict(cls, values: Mapping[str, object], source: str) -> Config:
        """Read nested plain values, such as those of a recipe or of a checkpoint, old names included.

        Raises:
            RecipeError: a key that does not exist (the nearest is named), a setting that is missing or not possible.
        """
        # A section that is left out altogether is told like one that is empty: by the settings it lacks.
        return read_settings(
            cls, {section: {} for section in SECTIONS} | renamed(values), source, known=[*SECTIONS, *SETTINGS]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return sections of settings as JSON holds them."""
        return {section: _plain(dataclasses.asdict(getattr(self, section))) for section in SECTIONS}

    def to_yaml(self) -> str:
        """Return a recipe with every setting written out, which reads back as an equal Config."""
        return write_yaml(self.to_dict())

    def flat(self) -> dict[str, Any]:
        """Return every setting by its dotted key."""
        return dict(_flat(self.to_dict()))

    def changed(self, other: Config) -> set[str]:
        """Return the dotted keys in which two differ."""
        one, two = self.flat(), other.flat()
        return {key for key in one.keys() | two.keys() if (key in one, one.get(key)) != (key in two, two.get(key))}

    def chosen(self) -> dict[str, Any]:
        """Return the settings that are no defaults, by dotted key."""
        defaults = Config(data=DataSettings(""), augment=AugmentSettings((0, 0)))
        own = self.flat()
        return {key: own[key] for key in sorted(self.changed(defaults)) if key in own}


SECTIONS: dict[str, type[Any]] = get_type_hints(Config)
"""The sections of a recipe."""

SETTINGS = {
    f"{section}.{setting.name}": str(setting.type)
    for section, settings in SECTIONS.items()
    for setting in dataclasses.fields(settings)
}
"""Every setting by its dotted key, with its type as it is written above."""

FREE_ON_RESUME = frozenset(
    {
        "train.steps",
        "train.num_workers",
        "train.log_every",
        "train.tensorboard",
        "train.validate_every",
        "train.checkpoint_every",
        "train.keep_checkpoints",
        "data.root",
    }
)
"""Settings that may change when a run is resumed; the data themselves may not, wherever they lie."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _flat(values: Mapping[str, Any], within: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in values.items()
        for pair in (_flat(value, f"{within}{key}.") if isinstance(value, Mapping) else [(f"{within}{key}", value)])
    ]
