"""Train the models in the box and pack them: ``python box/make.py CAMVID [--runs runs/box]``.

Each model is trained in stages, the first by its recipe, on train alone. What they end with is the twin, whose scores
on val are those of the model's card, and every choice was made on it. From there the last training goes on for a few
steps at a low rate that see val as well, with each of three seeds; the model is the mean of their weights, so that it
does not hang on one of them. Position attention has hardly any part in the answer by then; where a model is awakened,
alpha begins again at 1 and the vote teaches attention where to look, on train and then on train and val. The weights
are stored in float16, norm statistics in float32. Called again it goes on where it was cut.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from scenescope.checkpoints.model_directory import LoadedModel, load_model, save_model
from scenescope.data.catalog import open_dataset
from scenescope.evaluation.evaluator import evaluate
from scenescope.evaluation.scores import Scores
from scenescope.inference.segmenter import Segmenter
from scenescope.inference.settings import InferenceSettings
from scenescope.training.log import read_log
from scenescope.workflows.attention_check import check_attention

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from measure import machine, table

PACKAGE = Path(__file__).resolve().parent / "src" / "scenescope_box"
TRAINVAL = "data.train_split=trainval"
VOTE = "loss.attention=0.3"
UNWEIGHTED = "loss.class_weights=none"
POLES = "loss.class_weights=[1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]"
"""With no weights at all, poles, the narrowest things, began to be given up again."""


def finer(rate: str, steps: int, *more: str, lovasz: float = 1, input_scale: float = 1.5) -> list[str]:
    """Return the settings of a stage on magnified images, in which small things are large.

    Lovász-softmax counts a pole's pixels as much as a road's.
    """
    size = [f"model.input_scale={input_scale}", f"loss.lovasz={lovasz}", "train.warmup_steps=20"]
    return [*size, f"train.lr={rate}", f"train.steps={steps}", *more]


SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Making:
    """How a model is made: its recipe, and the settings that each stage, the last training and awakening replace."""

    recipe: str
    stages: list[list[str]]
    last: list[str]
    awakened: list[list[str]] = field(default_factory=list)


MODELS = {
    "camvid-danet-lite0": Making(
        "camvid/box-danet",
        stages=[
            [],
            finer("2e-4", 250, lovasz=0.5),
            finer("4e-4", 600, lovasz=0.5),
            finer("4e-4", 600),
            finer("3e-4", 300, UNWEIGHTED),
            finer("2e-4", 150, POLES),
        ],
        last=finer("1e-4", 80, POLES, TRAINVAL),
        awakened=[
            finer("2e-4", 300, POLES, VOTE, lovasz=0.5),
            finer("2e-4", 260, POLES, VOTE, TRAINVAL, lovasz=0.5),
        ],
    ),
    "camvid-sanet-lite0": Making(
        "camvid/box-sanet",
        stages=[
            [],
            finer("2e-4", 250, lovasz=0.5),
            finer("5e-4", 900),
            finer("3e-4", 300, UNWEIGHTED, "train.validate_every=100", input_scale=2),
            finer("2e-4", 150, POLES, input_scale=2),
        ],
        last=finer("1e-4", 80, POLES, TRAINVAL, input_scale=2),
    ),
}
SECOND_FIGURE = InferenceSettings(flip=True)


def main() -> None:
    """Train, score and pack both models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("camvid", type=Path, help="folder with train/ and val/")
    parser.add_argument("--runs", type=Path, default=Path("runs/box"), help="folder of the trainings")
    arguments = parser.parse_args()
    for name, making in MODELS.items():
        stages = [arguments.runs / f"{name}-{number}" for number, _ in enumerate(making.stages, start=1)]
        for run, before, settings in zip(stages, [None, *stages], making.stages, strict=False):
            start = [] if before is None else [f"train.init_from={before / 'last'}"]
            train(making.recipe, arguments.camvid, run, [*settings, *start])
        lasts = [arguments.runs / f"{name}-last-{seed}" for seed in SEEDS]
        for run, seed in zip(lasts, SEEDS, strict=True):
            start = [f"train.seed={seed}", f"train.init_from={stages[-1] / 'last'}"]
            train(making.recipe, arguments.camvid, run, [*making.last, *start])
        awakened = [arguments.runs / f"{name}-awakened-{number}" for number, _ in enumerate(making.awakened, start=1)]
        starts = [arguments.runs / f"{name}-begun", *(run / "last" for run in awakened)]
        if awakened and not starts[0].exists():
            begin_anew(averaged(lasts), starts[0])
        for run, before, settings in zip(awakened, starts, making.awakened, strict=False):
            train(making.recipe, arguments.camvid, run, [*settings, f"train.init_from={before}"])
        pack(name, making, stages, lasts, awakened, arguments.camvid)


def train(recipe: str, camvid: Path, run: Path, settings: list[str]) -> None:
    """Train, or go on with a training."""
    resume = ["--resume"] if (run / "recipe.yaml").exists() else []
    command = ["train", recipe, f"data.root={camvid}", *settings, "--output", str(run), *resume]
    subprocess.run([sys.executable, "-m", "scenescope", *command], check=True)


def averaged(runs: list[Path]) -> LoadedModel:
    """Return the first run's last model with the mean of the weights of all; integers are the first's."""
    model, *others = (load_model(run / "last") for run in runs)
    states = [other.network.state_dict() for other in others]
    weights = {
        key: torch.stack([value, *(state[key] for state in states)]).mean(0) if value.is_floating_point() else value
        for key, value in model.network.state_dict().items()
    }
    model.network.load_state_dict(weights)
    return model


def begin_anew(model: LoadedModel, place: Path) -> None:
    """Write a model, stored as the packed ones are, whose position attention has a full part in the answer, alpha 1."""
    torch.nn.init.ones_(model.network.head.position.alpha)  # type: ignore[union-attr, arg-type]
    weights = {key: stored(key, value) for key, value in model.network.state_dict().items()}
    save_model(model.network, model.classes, place, training={}, weights=weights)


def pack(name: str, making: Making, stages: list[Path], lasts: list[Path], awakened: list[Path], camvid: Path) -> None:
    """Write the model directory of the package, and its card, from the runs."""
    model = load_model(awakened[-1] / "last") if awakened else averaged(lasts)
    weights = {key: stored(key, value) for key, value in model.network.state_dict().items()}
    training = {**asdict(making), "seeds": SEEDS, "steps": [steps(run) for run in [*stages, lasts[0], *awakened]]}
    directory = PACKAGE / name
    save_model(model.network, model.classes, directory, training=training, weights=weights)
    told = card(name, making, stages, lasts, camvid) + attention(name, making, camvid)
    (directory / "README.md").write_text(told, encoding="utf-8")


def stored(key: str, value: torch.Tensor) -> torch.Tensor:
    """Return a weight in the number format that it is stored in."""
    return value.half() if value.is_floating_point() and "running_" not in key else value


def card(name: str, making: Making, stages: list[Path], lasts: list[Path], camvid: Path) -> str:
    """Return the card of a model in Markdown."""
    loaded = load_model(stages[-1] / "last")
    plain, views = (scored(loaded, camvid, settings) for settings in (InferenceSettings(), SECOND_FIGURE))
    rows = [
        [each, f"{one:.3f}", f"{many:.3f}"] for each, one, many in zip(plain.names, plain.iou, views.iou, strict=True)
    ]
    rows.append(["**mean**", f"**{plain.mean_iou:.4f}**", f"**{views.mean_iou:.4f}**"])
    hours = sum(seconds(each) for each in [*stages, *lasts]) / 3600
    settings = loaded.training["recipe"]
    built = settings["model"]
    told = "\n".join(
        f"  {number}. {steps(run)} steps" + (f" with {' '.join(settings)}" if settings else " as it is")
        for number, (run, settings) in enumerate(zip(stages, making.stages, strict=True), start=1)
    )
    weak = [
        f"{each} ({iou:.2f})"
        for each, iou in sorted(zip(plain.names, plain.iou, strict=True), key=lambda pair: pair[1])[:3]
    ]
    scores = table(["class", "IoU, one scale", "IoU, mirrored as well"], rows)
    return f"""# {name}

Scene segmentation of streets seen from a car: {len(plain.names)} classes, images of about 480 x 360.

- Network: {built["name"]} on {built["backbone"]}, output stride {built["output_stride"]}, options {built["options"]};
  images are enlarged by {built["input_scale"]}, logits refined at half their size by {built["refinement_channels"]}
  channels.
- Data: CamVid, train and val (468 images; SegNet's split and classes). License: CC BY-NC 4.0, see NOTICE.
- Recipe: `{making.recipe}`. Command: `python box/make.py CAMVID`; its stages, on train, seed 0:
{told}
- Then {steps(lasts[0])} steps on train and val with {" ".join(making.last)}, once with each of the seeds
  {", ".join(map(str, SEEDS))}; the model is the mean of their weights.
- Machine: {machine()} {hours:.1f} hours of steps.

## Scores

Of the model as trained on train alone, on val (101 frames of one street), at the labels' own size. One that has
seen val has no score there; the test split is scored by whoever has it:
`scenescope evaluate camvid:ROOT --split test --model {name}`.

{scores}

## Known failures

- Weakest on val: {", ".join(weak)}. Thin and small things are often lost, and their outlines are round.
- One city, one season, one camera: other streets, night, rain and snow, and images that are not taken from a road
  are outside what it has seen. A photograph of anything else still gets street classes.
- val is one street, filmed again in train: the scores above are better than those on a street never seen.
"""


def attention(name: str, making: Making, camvid: Path) -> str:
    """Return the section of a card that says what the attention of a packed model is worth."""
    check = check_attention(Segmenter.load(PACKAGE / name), open_dataset("camvid", str(camvid), "val"))
    told = "".join(f"- {sentence}\n" for sentence in check.sentences())
    how = "".join(
        f"\n- Awakened, {number}: {' '.join(settings)}" for number, settings in enumerate(making.awakened, start=1)
    )
    begun = (
        f"\nAfter what is told and scored above, alpha was set to 1, and the vote taught it where to look:\n{how}\n"
        if how
        else ""
    )
    return f"""
## Attention
{begun}
On val, which the model has seen: these tell what attention does, and are no scores.
`scenescope attend --check {name} camvid:ROOT`:

{told}"""


def scored(model: LoadedModel, camvid: Path, settings: InferenceSettings, split: str = "val") -> Scores:
    """Score a model."""
    matrix = evaluate(model.network, open_dataset("camvid", str(camvid), split), settings)
    return Scores.from_matrix(matrix, model.classes.names)


def steps(run: Path) -> int:
    """Return how many steps a run has done."""
    return int(load_model(run / "last").training["step"])


def seconds(run: Path) -> float:
    """Return about how many seconds the steps of a run took together, from those that were logged."""
    rows = read_log(run / "log.jsonl")
    return statistics.mean(row["seconds"] for row in rows if "seconds" in row) * steps(run)


if __name__ == "__main__":
    main()
