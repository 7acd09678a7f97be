"""Attention as people ask for it: from servers with threads, of their own arrays and networks, beside own files."""

import os
import re
import threading
import xml.etree.ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import scenescope as library
from scenescope.checkpoints.model_directory import save_model
from scenescope.errors import ImageError, ModelError

POINTS = [(80, 60), (5, 5)]
CLASSES = library.Classes.named(["road", "sky", "car"])
ASKED = {
    "danet": lambda view: [view.position.maps(POINTS), view.channel.maps([1])],
    "sanet": lambda view: [head.distances(POINTS) for head in view.heads],
    "dranet": lambda view: [view.position_centers.weights(POINTS), view.position_centers.maps()],
    "fcn_se": lambda view: [view.excitation],
}


def make_network(name="danet"):
    torch.manual_seed(0)
    network = library.create_model(name, backbone="test_resnet", num_classes=3, output_stride=16)
    if name == "danet":
        nn.init.normal_(network.head.position.query.weight, std=5.0)
    return network


def image(seed, height=96, width=128):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("other", ["attend", "predict"])
@pytest.mark.parametrize("name", ASKED)
def test_two_threads_of_a_server_ask_one_network(name, other):
    """transformers#42673, roboflow/inference#1549: maps of another's image, or an error of zip."""
    network = make_network(name)
    segmenter = library.Segmenter(network, CLASSES)
    expected = ASKED[name](library.attend(network, image(0)))
    first, inside, go_on = threading.get_ident(), threading.Event(), threading.Event()

    def wait(*_):
        """Hold this thread's pass at its end until the other thread's is done."""
        if threading.get_ident() == first:
            inside.set()
            assert go_on.wait(60)

    def meanwhile():
        assert inside.wait(60)
        shape = (64, 200)
        answers.append(
            library.attend(network, image(1, *shape)) if other == "attend" else segmenter.predict(image(1, *shape))
        )
        go_on.set()

    answers, thread = [], threading.Thread(target=meanwhile)
    network.head.register_forward_hook(wait)
    thread.start()
    found = ASKED[name](library.attend(network, image(0)))
    thread.join()
    assert len(answers) == 1
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    "given",
    [
        image(0) / 255,
        image(0).astype(np.float32),
        image(0).astype(np.uint16) * 257,
        image(0)[..., 0],
        image(0)[..., :1],
        np.dstack([image(0), image(0)[..., :1]]),
        image(0).transpose(2, 0, 1),
        image(0)[None],
        image(0)[:0],
        torch.from_numpy(image(0)).permute(2, 0, 1),
    ],
    ids=["0..1", "float", "uint16", "gray", "H x W x 1", "RGBA", "C x H x W", "batch", "empty", "tensor"],
)
def test_an_array_that_is_no_image(given):
    """segment-anything#780: floats of 0 to 1 and 16 bit were taken for 0 to 255, and gave other labels."""
    with pytest.raises(ImageError, match=r" is not an image; .*H x W x 3 uint8 RGB"):
        library.attend(make_network(), given)


def test_a_file_or_a_pillow_image_as_predict_takes_them(tmp_path):
    network = make_network()
    expected = library.attend(network, image(0)).position.maps(POINTS)
    Image.fromarray(image(0)).save(tmp_path / "a.png")
    for given in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(image(0))):
        np.testing.assert_array_equal(library.attend(network, given).position.maps(POINTS), expected)


class UNet(nn.Module):
    """Down, attention, up."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=4, padding=1)
        self.attention = library.PositionAttention(16)
        self.up = nn.ConvTranspose2d(16, 2, 4, stride=4)

    def forward(self, images):
        return self.up(self.attention(self.down(images)))


def test_the_attention_of_a_u_net_of_ones_own():
    """BiFormer#28: ``attend`` says what to do, and what it says gives the rows of the equation."""
    torch.manual_seed(0)
    network = UNet().eval()
    with pytest.raises(
        ModelError, match=r"^UNet is a network of your own; .* pre-hook, .* rows\(features, positions\)\.$"
    ):
        library.attend(network, image(0))
    seen = []
    network.attention.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach()))
    network(torch.rand(1, 3, 32, 48))
    with torch.no_grad():
        maps = network.attention.rows(seen[0], [3 * 12 + 5])
        query, key = network.attention.query(seen[0]).flatten(2), network.attention.key(seen[0]).flatten(2)
    energies = torch.stack([(query[0, :, 41] * key[0, :, i]).sum() for i in range(96)])
    torch.testing.assert_close(maps[0, 0], energies.exp() / energies.exp().sum())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a folder with the runs a and b, whose models are both called best."""
    place = tmp_path_factory.mktemp("runs")
    for run, names in (("a", CLASSES.names), ("b", CLASSES.names), ("odd", ["ro\x1b[31mad", "s\x00ky", "<c&ar>"])):
        save_model(make_network(), library.Classes.named(names), place / run / "best")
    return place


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two images and a mask."""
    for number, name in enumerate(("a", "b")):
        Image.fromarray(image(number, 40, 60)).save(tmp_path / f"{name}.png")
    Image.new("L", (60, 40), 1).save(tmp_path / "mask.png")
    return tmp_path


@pytest.mark.parametrize("name", ["a_figure.png", "a_arrays.npz", "a_attention_30_20.png", "a_attention_1_2.png"])
def test_a_file_of_the_users_in_the_place_of_a_figure(scenescope, models, folder, name):
    """It is refused before an image is looked at, and stays as it was."""
    (folder / name).write_bytes(b"mine")
    result = scenescope("attend", folder / "a.png", "--model", models / "a/best", "--arrays", "--output", folder)
    assert result.exit_code == 2
    assert re.fullmatch(rf"error: \S*{name} is in the way: it is not, .* choose another --output\.\n", result.errors)
    assert (folder / name).read_bytes() == b"mine"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["a.png", "b.png", "mask.png", name])


def test_an_input_in_the_place_of_a_figure(scenescope, models, folder):
    """The image a_figure.png, a figure of before, is asked about itself; or a mask is called so."""
    model = ["--model", models / "a/best", "--point", "3,4", "--output", folder]
    assert scenescope("attend", folder / "a.png", *model).exit_code == 0
    figure = (folder / "a_figure.png").read_bytes()
    result = scenescope("attend", folder / "a.png", folder / "a_figure.png", *model)
    assert result.exit_code == 2
    assert "would replace the input" in result.errors
    (folder / "a_figure.png").unlink()
    os.link(folder / "mask.png", folder / "a_figure.png")
    mask = (folder / "mask.png").read_bytes()
    assert scenescope("attend", folder / "a.png", "--truth", folder / "a_figure.png", *model).exit_code == 2
    assert (folder / "mask.png").read_bytes() == (folder / "a_figure.png").read_bytes() == mask != figure


def test_figures_are_made_anew_but_not_those_of_another_image(scenescope, models, folder, tmp_path):
    out = tmp_path / "out"
    asked = ["--model", models / "a/best", "--point", "3,4", "--arrays", "--output", out]
    for _ in range(2):
        result = scenescope("attend", folder / "a.png", *asked)
        assert result.exit_code == 0, result.errors
    (tmp_path / "day2").mkdir()
    os.replace(folder / "b.png", tmp_path / "day2" / "a.png")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = scenescope("attend", tmp_path / "day2" / "a.png", *asked)
    assert result.exit_code == 2
    assert "is in the way" in result.errors
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with (out / "a_figure.png").open("ab") as file:
        file.write(b"a note drawn by hand")
    assert scenescope("attend", folder / "a.png", *asked).exit_code == 2


def test_two_rivals_that_are_both_called_best(scenescope, models, folder):
    out = folder / "out"
    rivals = ["--against", models / "a/best", "--against", models / "b/best", "--against", models / "a/best"]
    result = scenescope(
        "attend", folder / "a.png", "--model", models / "a/best", *rivals, "--format", "svg", "--output", out
    )
    assert result.exit_code == 0, result.errors
    titles = re.findall("<!-- (prediction.*?) -->", (out / "a_figure.svg").read_text(encoding="utf-8"))
    assert titles == ["prediction", "prediction of a/best", "prediction of b/best"]


def test_names_with_escapes_and_nul(scenescope, models, folder):
    """The figure is well-formed, and nothing reaches the terminal that it would obey."""
    os.replace(folder / "a.png", folder / "a\x1b[2J.png")
    out = folder / "out"
    asked = ["--against", models / "odd/best", "--format", "svg", "--output", out]
    result = scenescope("attend", folder / "a\x1b[2J.png", folder / "b.png", "--model", models / "odd/best", *asked)
    assert result.exit_code == 0, result.errors
    assert "\x1b" not in result.output + result.errors
    assert "\x00" not in result.output
    assert r"a\x1b[2J:" in result.output
    for figure in out.glob("*.svg"):
        xml.etree.ElementTree.parse(figure)
    assert len(list(out.glob("*.svg"))) == 2


def test_scenes_of_one_name_in_two_folders_get_a_figure_each(scenescope, models, tmp_path):
    """A list file may name a/1.png and b/1.png: one figure took the other's place."""
    root = tmp_path / "data"
    for number, place in enumerate(("a", "b")):
        for kind in ("images", "masks"):
            (root / kind / place).mkdir(parents=True)
        Image.fromarray(image(number, 40, 60)).save(root / "images" / place / "1.png")
        Image.new("L", (60, 40), number).save(root / "masks" / place / "1.png")
    (root / "val.txt").write_text("images/a/1.png masks/a/1.png\nimages/b/1.png masks/b/1.png\n")
    (root / "classes.yaml").write_text("names: [road, sky, car]\n")
    result = scenescope("attend", f"folder:{root}", "--model", models / "a/best", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.errors
    assert len(list((tmp_path / "out").glob("*_figure.png"))) == 2


def test_a_whole_network_under_torch_func():
    """mamba#239, functorch#445: a derivative along a direction, an ensemble, and the gradients of every sample."""
    network = make_network().eval().double()
    with torch.no_grad():
        network.head.position.alpha.fill_(0.7)
    images, direction = torch.randn(2, 2, 3, 32, 48, dtype=torch.float64)

    def logits(given):
        return network.low_resolution(given).logits

    found = torch.func.jvp(logits, (images,), (direction,))[1]
    with torch.no_grad():
        step = 1e-6 * direction
        expected = (logits(images + step) - logits(images - step)) / 2e-6
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        several = torch.func.vmap(logits)(torch.stack([images, direction]))
        torch.testing.assert_close(several[1], logits(direction))
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def loss(given, sample):
        return torch.func.functional_call(network, given, (sample[None],)).logits.square().mean()

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images)
    network(images[1:]).logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        alone = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        # Logits are drawn in float32.
        torch.testing.assert_close(gradients[name][1], alone, rtol=1e-3, atol=1e-6)
