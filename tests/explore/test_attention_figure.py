import numpy as np
import pytest
import torch

from scenescope.errors import ModelError
from scenescope.explore.attention_figure import FigureRequest, build_figure, describe
from scenescope.explore.trace import attend
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["road", "sky", "car", "tree"])
POINTS = [(50, 13), (9, 60)]


def titles(found):
    return [[panel.title for panel in row] for row in found.rows]


def made(name, image):
    torch.manual_seed(0)
    return attend(create_model(name, backbone="resnet18", num_classes=4, output_stride=32), image)


def test_danet_as_in_its_paper(network, image):
    view = attend(network, image)
    names = [CLASSES.names[view.labels[y, x]] for x, y in POINTS]
    truth = np.zeros((70, 100), np.uint8)
    found = build_figure(
        view, CLASSES, FigureRequest(POINTS, channels=[4, 11], received=True, truth=truth, others={"fcn": truth})
    )
    assert titles(found) == [
        ["image", f"attention of 1: {names[0]}", f"attention of 2: {names[1]}"],
        ["who attends to 1", "who attends to 2"],
        ["channel 4", "channel 11", "prediction", "prediction of fcn"],
        ["truth"],
    ]
    np.testing.assert_array_equal(found.arrays["position"], view.position.maps(POINTS))
    np.testing.assert_array_equal(found.arrays["channel_maps"], view.channel.maps([4, 11]))
    assert found.arrays["scale_beta"] == 0.5
    assert describe(view, CLASSES, POINTS[0]).startswith(f"50,13: {names[0]}, probability 0.")


def test_sanet_has_a_row_for_each_head_and_point(image):
    found = build_figure(made("sanet", image), CLASSES, FigureRequest(POINTS, heads=[1, 4]))
    assert titles(found)[0] == ["image", "prediction"]
    starts = [row[0] for row in titles(found)[1:]]
    assert starts == [f"head {stage}, attention: distance from {point}" for stage in (1, 4) for point in (1, 2)]
    with pytest.raises(ModelError, match="no head 9; this network has the heads 1 to 4"):
        build_figure(made("sanet", image), CLASSES, FigureRequest(POINTS, heads=[9]))


def test_other_networks_show_what_they_have(image):
    assert "centers of 1" in str(titles(build_figure(made("dranet", image), CLASSES, FigureRequest(POINTS))))
    assert "weights of the channels" in str(titles(build_figure(made("fcn_se", image), CLASSES, FigureRequest(POINTS))))
    with pytest.raises(
        ModelError, match="This fcn has no attention to look into; danet, sanet, dranet and fcn_se have"
    ):
        build_figure(made("fcn", image), CLASSES, FigureRequest(POINTS))
    with pytest.raises(ModelError, match="sanet has no channel attention"):
        build_figure(made("sanet", image), CLASSES, FigureRequest(POINTS, channels=[1]))
