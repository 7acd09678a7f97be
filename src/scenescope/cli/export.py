"""scenescope export: a model becomes one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenescope.cli.inference_options import output_path
from scenescope.errors import ScenescopeError

if TYPE_CHECKING:
    from scenescope.data.dataset import SegmentationDataset
    from scenescope.export import ParityResult


def export(
    model: Annotated[str, typer.Argument(help="A model directory, a model in the box by name, or hub:org/name.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.", parser=output_path)],
    int8: Annotated[
        bool, typer.Option("--int8", help="Multiply 8-bit numbers; their ranges are seen in images of --data.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:ROOT",
            help="Data set for --int8: ranges are those of its train split, scores before and after those of its val.",
            show_default="none",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="So many images for the ranges, spread over the split.")] = 32,
) -> None:
    """Write a model as one ONNX file for any number and size of images, once it agrees with torch.

    evaluate and predict take the file as --model.
    """
    if output.suffix != ".onnx":
        raise ScenescopeError(f"The file to write is {output}, which does not end in .onnx; give OUT.onnx.")
    if int8 != (data is not None):
        raise ScenescopeError(
            "--int8 needs images; add --data KIND:ROOT, such as camvid:DIR."
            if int8
            else "--data is for --int8; add that, or leave --data out."
        )
    from scenescope.checkpoints.model_directory import require_classes
    from scenescope.data.catalog import open_dataset, parse_source
    from scenescope.data.dataset import seen_by
    from scenescope.export import MAX_DIFFERENCE, calibration_images, export_onnx, quantize, verify
    from scenescope.files import write_atomically
    from scenescope.inference.segmenter import Segmenter

    splits = [open_dataset(*parse_source(data), split) for split in ("train", "val")] if data is not None else []
    segmenter = Segmenter.load(model, "cpu", "float32", fused=False)
    splits = [seen_by(split, segmenter.band_rule, "the model") for split in splits]
    for split in splits:
        require_classes(segmenter.network, split.classes, f"the data set {data}")
    content = export_onnx(segmenter)
    agreements = verify(segmenter, content)
    for each in agreements:
        _tell(each)
    worst = max(agreements, key=lambda each: each.difference)
    if not worst.difference < MAX_DIFFERENCE:  # a NaN is no agreement either
        raise ScenescopeError(
            f"The exported file differs from torch by {worst.difference:.1e} of the largest logit at"
            f" {worst.size[0]} x {worst.size[1]}, more than {MAX_DIFFERENCE:.0e}; it was not"
            " written. Upgrade torch and onnxruntime, or report the model."
        )
    if splits:
        train, val = splits
        content, before = quantize(content, calibration_images(train, segmenter.network, images)), content
        scores = [_mean_iou(file, val) for file in (before, content)]
        print(f"mean IoU on {data}, val, {len(val)} images: {scores[0]:.4f} in float32, {scores[1]:.4f} in int8")
    write_atomically(output, lambda place: place.write_bytes(content), len(content))
    print(f"{output}  {len(content) / 1e6:.1f} MB  (try: scenescope predict PHOTO --model {output} --output out)")


def _tell(agreement: ParityResult) -> None:
    height, width = agreement.size
    print(
        f"{height:4} x {width:<4} logits within {agreement.difference:.1e} of torch's,"
        f" same class at {agreement.same_labels:.2%} of the pixels"
    )


def _mean_iou(content: bytes, dataset: SegmentationDataset) -> float:
    from scenescope.evaluation.evaluator import evaluate
    from scenescope.evaluation.scores import Scores
    from scenescope.inference.exported import open_exported
    from scenescope.inference.segmenter import Segmenter

    exported = open_exported(content, "the exported file")
    confusion = evaluate(Segmenter(exported, exported.classes), dataset)
    return Scores.from_matrix(confusion, dataset.classes.names).mean_iou or 0.0
