import contextlib
import threading

import numpy as np
import pytest
import torch

from scenescope.explore.page import PageServer
from scenescope.models.catalog import create_model


@pytest.fixture(scope="module")
def network():
    """Return a DANet whose attention is far from even, and counts."""
    torch.manual_seed(0)
    network = create_model("danet", backbone="resnet18", num_classes=4, output_stride=16, align_corners=False)
    torch.nn.init.normal_(network.head.position.query.weight, std=5.0)
    torch.nn.init.constant_(network.head.position.alpha, 2.0)
    torch.nn.init.constant_(network.head.channel.beta, 0.5)
    return network


@pytest.fixture(scope="module")
def image():
    """Return an image whose features are 5 x 7."""
    return np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)


@contextlib.contextmanager
def served(session, **options):
    """Serve the page of a session on a free port for the length of a ``with`` block."""
    with PageServer(session, port=0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
