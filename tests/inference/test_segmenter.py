import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from scenescope.checkpoints.model_directory import save_model
from scenescope.errors import CheckpointError, ImageError, ModelError
from scenescope.inference import segmenter as segmenter_module
from scenescope.inference.predictor import InferenceSettings
from scenescope.inference.segmenter import Segmenter
from scenescope.labels import Classes
from scenescope.models.catalog import create_model

CLASSES = Classes.named(["red", "green", "blue"])


@pytest.fixture
def strongest(answering):
    """Return a segmenter that answers with the strongest color channel of each pixel."""
    return Segmenter(answering(lambda images: images / 255), CLASSES)


@pytest.fixture
def red_and_blue():
    """Return 4 x 6 pixels: the left half red, the right half blue."""
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, :3, 0] = image[:, 3:, 2] = 250
    return image


def test_file_bytes_pillow_image_and_array_give_the_same_answer(strongest, red_and_blue, tmp_path):
    Image.fromarray(red_and_blue).save(tmp_path / "a.png")
    expected = [[0, 0, 0, 2, 2, 2]] * 4
    content = (tmp_path / "a.png").read_bytes()
    with (tmp_path / "a.png").open("rb") as file:
        givens = [red_and_blue, Image.fromarray(red_and_blue), tmp_path / "a.png", str(tmp_path / "a.png")]
        givens += [content, bytearray(content), io.BytesIO(content), file]
        predictions = strongest.predict(givens)
    assert len(predictions) == len(givens)
    for prediction in predictions:
        assert prediction.labels.dtype == np.uint8
        assert prediction.labels.tolist() == expected
        assert np.array_equal(prediction.image, red_and_blue)
        assert prediction.probabilities is None


def test_the_label_map_has_the_size_and_direction_of_the_image_as_displayed(strongest, red_and_blue, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right: the stored left column becomes the top row
    Image.fromarray(red_and_blue).save(tmp_path / "turned.png", exif=exif)
    expected = [[0] * 4] * 3 + [[2] * 4] * 3
    assert strongest.predict(tmp_path / "turned.png").labels.tolist() == expected
    with Image.open(tmp_path / "turned.png") as opened:
        assert strongest.predict(opened).labels.tolist() == expected


def test_a_gray_pillow_image_of_16_bits_becomes_rgb(strongest):
    gray = Image.fromarray(np.full((2, 2), 65535, np.uint16))
    assert (strongest.predict(gray).image == 255).all()


def test_probabilities_are_those_of_the_logits(strongest, red_and_blue):
    found = strongest.predict(red_and_blue, probabilities=True).probabilities
    expected = torch.tensor([250 / 255, 0, 0]).softmax(0).numpy()
    assert np.allclose(found[:, 0, 0], expected)
    strongest.settings = InferenceSettings(flip=True)  # scores are then probabilities already
    assert np.allclose(strongest.predict(red_and_blue, probabilities=True).probabilities[:, 0, 0], expected)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(strongest, array):
    with pytest.raises(ImageError, match="is not an image; give H x W x 3 uint8 RGB"):
        strongest.predict(array)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "A NoneType is not an image; give a path, the bytes of a file, a file opened with 'rb'"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), "A Tensor is not an image"),
        (io.StringIO("text"), "A StringIO is not an image"),
        (b"", "An image given as bytes is empty, or its file was read to the end before; give a path"),
        (b"no image", "Cannot read the bytes given: not an image"),
        ("https://example.org/a.png", "https://example.org/a.png is an address, and only files are read"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(strongest, given, told):
    with pytest.raises(ImageError, match=f"^{told}") as refused:
        strongest.predict(given)
    assert "\n" not in str(refused.value)


def test_a_prediction_keeps_its_image_when_the_frame_is_used_again(strongest, red_and_blue):
    frame = red_and_blue.copy()
    prediction = strongest.predict(frame)
    frame[:] = 0
    assert np.array_equal(prediction.image, red_and_blue)


def test_bytes_above_the_limit_are_refused(strongest, red_and_blue):
    content = io.BytesIO()
    Image.fromarray(red_and_blue).save(content, "PNG")
    strongest.max_pixels = 23
    with pytest.raises(ImageError, match="6 x 4"):
        strongest.predict(content.getvalue())


def test_four_threads_answer_as_one():
    torch.manual_seed(0)
    network = create_model("danet", backbone="test_resnet", num_classes=3, output_stride=16)
    segmenter = Segmenter(network, CLASSES)
    generator = np.random.default_rng(0)
    arrays = [generator.integers(0, 256, (32 + 16 * (n % 3), 48 + 16 * (n % 2), 3), np.uint8) for n in range(24)]
    alone = [segmenter.predict(each).labels for each in arrays]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(segmenter.predict, arrays))
    assert all(np.array_equal(each.labels, labels) for each, labels in zip(together, alone, strict=True))
    assert len({labels.tobytes() for labels in alone}) > 12  # they are not told apart by chance


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_compiled_network_runs_compiled(wrapped):
    """pytorch#141616: nothing was, as predictions called another method than the compiled one."""
    torch.manual_seed(0)
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=16)
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    expected = Segmenter(network, CLASSES).predict(image).labels
    ran = []

    def backend(graph, inputs):
        def run(*arguments):
            ran.append(graph)
            return graph.forward(*arguments)

        return run

    torch._dynamo.reset()
    if wrapped:
        segmenter = Segmenter(torch.compile(network, backend=backend), CLASSES)
    else:
        segmenter = Segmenter(network, CLASSES)
        segmenter.network.compile(backend=backend)
    assert np.array_equal(segmenter.predict(image).labels, expected)
    assert len(ran) == 1


def test_a_segmenter_says_what_it_is(strongest):
    classes = Classes.named(["red", "green", "blue", "more"])
    network = create_model("fcn", backbone="test_resnet", num_classes=4)
    text = repr(Segmenter(network, classes, settings=InferenceSettings(flip=True)))
    assert text.startswith("Segmenter(fcn, 4 classes: red, green, blue, ...; cpu, float32; InferenceSettings(")
    assert "flip=True" in text
    assert len(text) < 300


def test_networks_of_other_kinds_are_refused():
    with pytest.raises(ModelError, match="Conv2d is not a network of scenescope"):
        Segmenter(torch.nn.Conv2d(3, 3, 1), CLASSES)


def test_a_pillow_image_of_a_file_cut_short_is_refused(strongest, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "short.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1000])
    with (
        Image.open(tmp_path / "short.jpg") as opened,
        pytest.raises(ImageError, match=r"cannot be decoded \(.*truncated"),
    ):
        strongest.predict(opened)


def test_an_image_above_the_limit_is_refused(strongest, red_and_blue, tmp_path):
    Image.fromarray(red_and_blue).save(tmp_path / "a.png")
    strongest.max_pixels = 23
    with pytest.raises(ImageError, match="6 x 4"):
        strongest.predict(tmp_path / "a.png")
    strongest.max_pixels = 24
    assert strongest.predict(tmp_path / "a.png").labels.shape == (4, 6)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_names_the_way_out(answering, red_and_blue, error):
    def fail(images):
        raise error

    with pytest.raises(ImageError, match=r"6 x 4 pixels needs more memory .* --window 768"):
        Segmenter(answering(fail), CLASSES).predict(red_and_blue)


def test_other_faults_of_a_network_pass_unchanged(answering, red_and_blue):
    def fail(images):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        Segmenter(answering(fail), CLASSES).predict(red_and_blue)


def test_as_many_names_as_classes_are_needed(answering):
    with pytest.raises(ModelError, match=r"3 classes .* 2"):
        Segmenter(answering(lambda images: images), Classes.named(["a", "b"]))


def test_a_saved_model_answers_as_the_network_it_was(tmp_path):
    torch.manual_seed(0)
    network = create_model("fcn", backbone="resnet18", num_classes=3, output_stride=32)
    save_model(network, CLASSES, tmp_path / "model")
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    direct = Segmenter(network, CLASSES).predict(image, probabilities=True)
    loaded = Segmenter.load(tmp_path / "model", "cpu", "float32", fused=False).predict(image, probabilities=True)
    assert loaded.classes == CLASSES
    assert np.array_equal(loaded.probabilities, direct.probabilities)
    fused = Segmenter.load(tmp_path / "model", "cpu", "float32")
    assert fused.form is not fused.network
    np.testing.assert_allclose(fused.predict(image, probabilities=True).probabilities, direct.probabilities, atol=1e-5)


def test_a_network_that_is_given_stays_as_it_is():
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for fused in (False, True):
        segmenter = Segmenter(network, CLASSES, "cpu", precision="bfloat16", fused=fused)
        segmenter.predict(np.zeros((20, 30, 3), np.uint8))
        assert segmenter.network is network
        assert (segmenter.form is network) != fused
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_what_does_not_prove_equal_is_not_used(monkeypatch):
    def differs(network, dtype):
        raise ModelError("This fcn with its norms folded differs from itself by 1.0e-01; use it as it is.")

    monkeypatch.setattr(segmenter_module, "optimize_for_inference", differs)
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    assert Segmenter(network, CLASSES, fused=True).form is network


def test_a_digest_is_of_the_weights_as_they_are(tmp_path):
    network = create_model("fcn", backbone="test_resnet", num_classes=3, output_stride=32)
    save_model(network, CLASSES, tmp_path / "model")
    loaded, again = (Segmenter.load(tmp_path / "model", "cpu") for _ in range(2))
    assert loaded.digest == again.digest
    with torch.no_grad():
        next(loaded.network.parameters()).mul_(2)
    assert loaded.digest != again.digest
    assert Segmenter(network, CLASSES).digest != loaded.digest


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model at .*nowhere"):
        Segmenter.load(tmp_path / "nowhere")
