"""The job of ``scenescope predict`` by other packages, for ``predict.py``: images in, label maps and overlays out.

python benchmarks/predict_peers.py ultralytics|torchvision OUT IMAGE...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)


def save(labels: np.ndarray, image: np.ndarray, out: Path, stem: str) -> None:
    """Write a label map and an overlay, both as PNG."""
    Image.fromarray(labels.astype(np.uint8)).save(out / f"{stem}_labels.png")
    Image.fromarray((image // 2 + PALETTE[labels] // 2).astype(np.uint8)).save(out / f"{stem}_overlay.png")


def with_torchvision(out: Path, paths: list[Path]) -> None:
    """lraspp_mobilenet_v3_large as torchvision's own example does it, at the image's size."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large
    from torchvision.transforms.functional import normalize, to_tensor

    network = lraspp_mobilenet_v3_large(num_classes=11, weights_backbone=None).eval()
    with torch.inference_mode():
        for path in paths:
            image = Image.open(path).convert("RGB")
            batch = normalize(to_tensor(image), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])[None]
            save(network(batch)["out"][0].argmax(0).numpy(), np.asarray(image), out, path.stem)


def with_ultralytics(out: Path, paths: list[Path]) -> None:
    """The smallest semantic network through ultralytics' own predictor, at the image's longer side."""
    from ultralytics import YOLO

    model = YOLO("yolo26n-sem.yaml")
    for path in paths:
        (result,) = model.predict(str(path), imgsz=480, verbose=False)
        labels = result.semantic_mask.data.cpu().numpy().squeeze().astype(np.int64)
        save(labels, result.orig_img[..., ::-1], out, path.stem)


if __name__ == "__main__":
    name, place, *images = sys.argv[1:]
    Path(place).mkdir(parents=True)
    {"torchvision": with_torchvision, "ultralytics": with_ultralytics}[name](
        Path(place), [Path(each) for each in images]
    )
