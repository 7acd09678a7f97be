"""The test procedures of the published codes, as settings.

``official`` and ``official-ms`` are those of the released DANet code, whose multi-scale figures are the paper's;
``mmseg`` and ``mmseg-ms`` those of mmsegmentation. They differ in what a view is and in how views are joined:

- official: the long side becomes base_size x scale. Windows begin at multiples of the stride, and black fills one that
  reaches past the border. Each window and its mirror image give exp(logits + mirrored logits), no softmax; these are
  averaged where windows overlap, resized to the picture, and summed over the scales.
- mmseg: the picture, as large as fits base_size x scale, whole or in windows of which the last ends at the border.
  Logits are averaged where windows overlap and resized to the picture; then probabilities are averaged over scales and
  flips.

Sizes are those for Cityscapes. The official code tests other data with base size 520 and window 480; mmsegmentation
with base size 2048,512, and its networks trained on 769 pixels with base size 2049,1025 and window 769.

Where the descriptions are silent, or more than one way would do:

- Rounding. Official: long side up, short side to the nearest. mmseg: the limits down, the picture to the nearest.
- The mirror image of a window in "exp" is that of the filled window: black then lies on its left. In "softmax" the
  whole picture is mirrored and then cut into windows.
- Both stretch the logits of a view over it, whatever its size (``stretch``).
- Pictures and scores are resized bilinearly in the network's own ``align_corners``, after normalising, in float32.
  mmsegmentation resizes uint8 pictures and rounds them; that rounding is not repeated.
- Where a pixel's largest sum of logits in a window lies beyond -80 or 80, all its classes are moved there together, so
  that exp stays within float32.
- Sums of exp are divided by their sum over the classes, so that they can be read as probabilities; the order of the
  classes stays.
- A picture smaller than a window is its own window ("shift") or is filled to a whole one ("pad").
"""

from __future__ import annotations

from scenescope.inference.settings import InferenceSettings

PROTOCOLS: dict[str, InferenceSettings] = {
    "official": InferenceSettings(flip=True, window=768, base_size=2048, border="pad", combine="exp", stretch=True),
    "official-ms": InferenceSettings(
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.2),
        flip=True,
        window=1024,
        stride=0.5,
        base_size=2048,
        border="pad",
        combine="exp",
        stretch=True,
    ),
    "mmseg": InferenceSettings(base_size=(2048, 1024), stretch=True),
    "mmseg-ms": InferenceSettings(
        scales=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75), flip=True, base_size=(2048, 1024), stretch=True
    ),
}
"""Settings by name; ``dataclasses.replace`` changes single values."""
