"""The benchmark scripts name recipes that exist and tell what was measured."""

import functools
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.position import PositionAttention
from scenescope.data.catalog import open_dataset
from scenescope.recipes.reader import load_recipe

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts find each other as they do when Python runs one of them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def camvid() -> ModuleType:
    return importlib.import_module("camvid")


def test_the_runs_differ_only_in_what_they_compare(camvid: ModuleType) -> None:
    recipes = {}
    for run, (_, recipe, changes) in camvid.RUNS.items():
        command = camvid.train_command(recipe, changes, "DIR", "out")
        assert command[0] == "train"
        assert command[-2:] == ["--output", "out"]
        recipes[run] = load_recipe(command[1], command[2:-2]).to_dict()
    danet, fcn, random = (recipes[run] for run in ("camvid-danet", "camvid-fcn", "camvid-danet-random"))
    for section in ("data", "augment", "loss", "train"):
        assert danet[section] == fcn[section] == random[section]
    assert {key for key in danet["model"] if danet["model"][key] != fcn["model"][key]} == {"name"}
    assert {key for key in danet["model"] if danet["model"][key] != random["model"][key]} == {"pretrained"}


def test_the_page_tells_the_scores(camvid: ModuleType, tmp_path: Path) -> None:
    scores = {}
    for number, run in enumerate(camvid.RUNS):
        (tmp_path / run).mkdir()
        rows = [{"step": 10, "loss": 1.0, "seconds": 0.5 + number}, {"step": 10, "val/miou": 0.25 + number / 10}]
        (tmp_path / run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        scores[run] = {
            "mean_iou": 0.5 - number / 10, "pixel_accuracy": 0.9, "mean_accuracy": 0.7,
            "frequency_weighted_iou": 0.8, "iou": {"road": 0.75, "pole": None},
        }  # fmt: skip
    page = camvid.page(scores, tmp_path)
    assert "| mIoU | 0.5000 | 0.4000 | 0.3000 |" in page
    assert "ImageNet weights are worth 20.0 points" in page
    assert "| pole | absent | absent | absent |" in page
    assert "| 10 | 0.2500 | 0.3500 | 0.4500 |" in page


@pytest.mark.parametrize("form", ["blockwise", "sdpa", "sdpa in heads"])
@pytest.mark.parametrize("train", [False, True])
def test_all_forms_of_attention_compute_the_same(form: str, train: bool) -> None:
    attention = importlib.import_module("attention")
    expected = attention.call("plain", 60, train, "cpu", torch.float32)()
    torch.testing.assert_close(attention.call(form, 60, train, "cpu", torch.float32)(), expected)


@pytest.mark.parametrize("form", ["bfloat16", "autocast"])
@pytest.mark.parametrize("train", [False, True])
def test_attention_in_bfloat16_is_near_the_plain_form(form: str, train: bool) -> None:
    attention = importlib.import_module("attention")
    expected = attention.call("plain", 60, train, "cpu", torch.float32)()
    answer = attention.call(form, 60, train, "cpu", torch.float32)()
    torch.testing.assert_close(answer.float(), expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))


def test_forms_take_turns_and_the_median_of_each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = importlib.import_module("measure")
    now, durations = 0.0, {"ours": [9, 1, 2, 8], "theirs": [9, 5, 3, 4]}
    order: list[str] = []

    def run(form: str) -> None:
        nonlocal now
        now += durations[form][len(order) // 2]
        order.append(form)

    monkeypatch.setattr(measure.time, "process_time", lambda: now)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    found = measure.interleaved({form: functools.partial(run, form) for form in durations}, repeats=3)
    assert order == ["ours", "theirs"] * 4  # the first round warms up
    assert found == {"ours": 2, "theirs": 4}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is told by Linux alone")
def test_peak_memory_counts_what_is_given_back() -> None:
    measure = importlib.import_module("measure")
    assert 190e6 < measure.peak_memory(lambda: len(bytearray(200_000_000))) < 250e6


def test_parity_sees_a_network_that_is_not_the_original() -> None:
    parity = importlib.import_module("parity")
    assert parity.relative_difference(torch.tensor([1.0, 4.5]), torch.tensor([1.0, -5.0])) == pytest.approx(1.9)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.BatchNorm2d(4))
    parity.awaken(network)
    for statistics in network.state_dict().values():
        assert not statistics.is_floating_point() or statistics.unique().numel() > 1  # neither all 0 nor all 1


def test_parts_that_are_not_measured_keep_their_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    speed = importlib.import_module("speed")
    monkeypatch.setattr(speed, "PAGE", tmp_path / "speed.md")
    told = {"answer": "measured once", "startup": "measured twice"}
    for part, text in told.items():
        title, _ = speed.PARTS[part]
        monkeypatch.setitem(speed.PARTS, part, (title, lambda arguments, text=text: text))
    for part in told:
        monkeypatch.setattr("sys.argv", ["speed.py", part])
        speed.main()
    page = (tmp_path / "speed.md").read_text()
    assert page.index("## From logits to scores") < page.index("measured once") < page.index("## Starting up")
    assert page.index("## Starting up") < page.index("measured twice")
    assert page.count("\n## ") == 2


def test_forms_are_compared_with_the_first() -> None:
    speed = importlib.import_module("speed")
    rows = speed.compared("here", {"plain": 4.0, "ours": 3.0}, {"plain": 2_000_000, "ours": 500_000})
    assert rows == [["here", "plain", "4.00", "1.00", "2", "1.00"], ["here", "ours", "3.00", "0.75", "0", "0.25"]]


def test_the_original_form_of_the_whole_network_gives_the_same_logits() -> None:
    speed = importlib.import_module("speed")
    images = torch.randn(1, 3, 64, 72)
    with torch.inference_mode():
        answers = [speed.danet(form).eval()(images).logits for form in ("plain", "ours", "optimized")]
    for answer in answers[1:]:
        torch.testing.assert_close(answer, answers[0], rtol=1e-4, atol=1e-5)


def test_the_time_to_a_score_is_that_of_the_steps_until_a_validation_saw_it(tmp_path: Path) -> None:
    script = importlib.import_module("time_to_score")
    recipe = "model: {name: danet}\ntrain: {batch_size: 8, log_every: 10}\naugment: {crop: [240, 320]}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    rows = [
        {"step": 10, "seconds": 3.0, "seconds_waiting": 0.3},
        {"step": 10, "val/miou": 0.5},
        {"step": 20, "seconds": 6.0, "seconds_waiting": 0.0},
        {"step": 20, "val/miou": 0.61},
        {"step": 30, "seconds": 6.0, "seconds_waiting": 0.0},
        {"step": 30, "val/miou": 0.59},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert script.reached(tmp_path, 0.6)[1:] == ["6.00", "2.0%", "20", "1.5", "0.5900 at 30"]
    assert script.reached(tmp_path, 0.7)[1:] == ["6.00", "2.0%", "not reached", "", "0.5900 at 30"]


def test_uniform_attention_attends_to_all_and_a_scale_of_one_half_adds_half() -> None:
    script = importlib.import_module("attention_at_work")
    attention = PositionAttention(8)
    for parameter in attention.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.eye_(attention.value.weight[:, :, 0, 0])
    attention.alpha.data.fill_(0.5)
    seen: list[tuple[float, int, float]] = []
    script.watch(attention, script.position_map, seen)
    attention(torch.ones(1, 8, 2, 3))  # the mean of equal features is each of them
    assert seen == [(pytest.approx(6), 6, pytest.approx(0.5))]


def test_one_channel_far_from_all_is_all_that_channels_attend_to() -> None:
    script = importlib.import_module("attention_at_work")
    attention = ChannelAttention()
    features = torch.full((1, 4, 8, 8), 10.0)
    features[:, 2] = 0
    seen: list[tuple[float, int, float]] = []
    script.watch(attention, script.channel_map, seen)
    attention(features)
    # Channel 2 is orthogonal to all: it alone attends to the four alike, the others to it.
    assert seen == [(pytest.approx((1 + 1 + 4 + 1) / 4), 4, 0)]


def test_a_page_written_again_keeps_what_a_person_wrote_below(tmp_path: Path) -> None:
    measure = importlib.import_module("measure")
    script = str(tmp_path / "speed.py")
    about = "First line.\n\n    python speed.py\n"
    measure.write_page(script, "Speed", about, "| old |")
    page = tmp_path / "speed.md"
    page.write_text(page.read_text() + "\n## Reading it\n\nSlow.\n")
    measure.write_page(script, "Speed", about, "| new |")
    text = page.read_text()
    assert text.startswith("# Speed\n\n    python speed.py\n")
    assert text.endswith("| new |\n\n## Reading it\n\nSlow.\n")
    assert "old" not in text
    assert "First line" not in text


@pytest.mark.parametrize("network", ["danet", "sanet"])
def test_fine_tuning_is_compared_with_the_same_training_from_imagenet_weights(network: str) -> None:
    finetune = importlib.import_module("finetune")
    assert network in finetune.NETWORKS
    box, imagenet = (load_recipe(f"folder/finetune-{network}", start).to_dict() for start in finetune.STARTS.values())
    assert box["train"].pop("init_from") == f"camvid-{network}-lite0"
    assert imagenet["train"].pop("init_from") is None
    assert box == imagenet
    assert box["model"]["pretrained"]


def test_labelmefacade_becomes_a_folder(tmp_path: Path) -> None:
    finetune = importlib.import_module("finetune")
    for kind, ending in (("images", "jpg"), ("labels", "png")):
        (tmp_path / "source" / kind).mkdir(parents=True)
        for stem in ("a", "b"):
            Image.new("RGB", (8, 8), (128, 0, 0)).save(tmp_path / "source" / kind / f"{stem}.{ending}")
    (tmp_path / "source/train.txt").write_text("images/a.jpg\n")
    (tmp_path / "source/test.txt").write_text("images/b.jpg\n")
    assert finetune.as_folder(tmp_path / "source", tmp_path / "data") == 2
    val = open_dataset("folder", str(tmp_path / "data"), "val")
    assert (len(val), val[0].labels.max(), val.classes.names[0]) == (1, 0, "building")
