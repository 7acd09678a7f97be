"""The key names of DANet in awesome-semantic-segmentation-pytorch.

github.com/Tramac/awesome-semantic-segmentation-pytorch, file ``core/models/danet.py``.
"""

from __future__ import annotations

from scenescope.checkpoints.converters.format import BACKBONE, CheckpointFormat

SOURCES = (
    CheckpointFormat(
        title="DANet of awesome-semantic-segmentation-pytorch",
        model="danet",
        preset="tramac",
        required_prefixes=("pretrained.", "head.pam."),
        modules={
            "pretrained": BACKBONE,
            "pretrained.fc": None,
            "head.conv_p1": "head.position_in",
            "head.pam.conv_b": "head.position.query",
            "head.pam.conv_c": "head.position.key",
            "head.pam.conv_d": "head.position.value",
            "head.pam.alpha": "head.position.alpha",
            "head.conv_p2": "head.position_out",
            "head.conv_p3": "head.position_classifier",
            "head.conv_c1": "head.channel_in",
            "head.cam.beta": "head.channel.beta",
            "head.conv_c2": "head.channel_out",
            "head.conv_c3": "head.channel_classifier",
            "head.out": "head.classifier",
        },
        sizes={"num_classes": "head.out.1.weight"},
        # Trained without --aux, the branches have no classifiers.
        in_training_only=("head.position_classifier.", "head.channel_classifier."),
    ),
)
