from __future__ import annotations

from pathlib import Path

import pytest

from scenescope.config import TrainSettings
from scenescope.errors import RecipeError
from scenescope.recipes.reader import list_recipes, load_recipe, recipe_text

SMALL = """\
data:
  kind: scenes
augment:
  crop: [64, 96]
train:
  lr: 1e-4
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def test_reads_a_file(small: str) -> None:
    recipe = load_recipe(small)
    assert recipe.augment.crop == (64, 96)
    assert recipe.train.lr == 0.0001


def test_overrides_replace_single_settings_and_the_last_one_counts(small: str) -> None:
    recipe = load_recipe(
        small,
        [
            "train.steps=5",
            "train.steps=6",
            "train.lr=2e-3",
            "augment.crop=[32, 48]",
            "model.options.channel_form=paper",
            "loss.weights={position: 0.5}",
            "loss.class_weights=[1, 2.5]",
            "train.ema_decay=null",
            "data.root=/a folder/with=sign",
        ],
    )
    assert (recipe.train.steps, recipe.train.lr, recipe.train.ema_decay) == (6, 0.002, None)
    assert recipe.augment.crop == (32, 48)
    assert recipe.model.options == {"channel_form": "paper"}
    assert (recipe.loss.weights, recipe.loss.class_weights) == ({"position": 0.5}, (1.0, 2.5))
    assert recipe.data.root == "/a folder/with=sign"
    assert recipe.train.batch_size == TrainSettings().batch_size


def test_an_override_of_text_stays_text_though_it_looks_like_a_number(small: str) -> None:
    assert load_recipe(small, ["data.root=007"]).data.root == "007"
    assert load_recipe(small, ["data.root=1e3"]).data.root == "1e3"
    assert load_recipe(small, ["train.init_from=2024"]).train.init_from == "2024"
    assert load_recipe(small, ["train.init_from=null"]).train.init_from is None


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("my #1 photos", "my #1 photos"),
        ("a: b", "a: b"),
        ("@x", "@x"),
        ("*x", "*x"),
        ("[a", "[a"),
        ("'a' and 'b'", "'a' and 'b'"),
        ("null", "null"),
        ("", ""),
        ("'it''s'", "it's"),
        (r'"a \"b\" #1"', 'a "b" #1'),
    ],
)
def test_an_override_of_text_is_taken_as_it_stands_unless_quoted(small: str, text: str, root: str) -> None:
    recipe = load_recipe(small, [f"data.root={text}"])
    assert recipe.data.root == root
    Path(small).write_text(recipe.to_yaml())
    assert load_recipe(small) == recipe


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.step=3", r"small\.yaml: train\.step is not a setting\. Did you mean 'train\.steps'\?$"),
        ("trian.steps=3", r"small\.yaml: trian is not a setting\. Did you mean 'train'\?$"),
        ("steps=3", r"small\.yaml: steps is not a setting\. Did you mean 'train\.steps'\?$"),
        ("train={steps: 3}", r"^train is a section, not a setting; .* such as train\.steps=VALUE\.$"),
        ("train.steps", r"^'train\.steps' is not a setting; write KEY=VALUE, such as train\.steps=2000\.$"),
        ("=3", r"^'=3' is not a setting; write KEY=VALUE"),
        ("train.lr.x=3", r"cannot be set: train\.lr is 0\.0001, a single value\.$"),
        ("augment.crop=[1", r"^augment\.crop, line 1: "),
        ("data.root=a\udcff", r"^data\.root holds bytes that are not UTF-8 text; rename"),
        ("train.steps=-1", r"small\.yaml: train\.steps is -1, but it should be greater than or equal to 1\.$"),
    ],
)
def test_an_override_that_cannot_be_used(small: str, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told) as caught:
        load_recipe(small, [override])
    assert "\n" not in str(caught.value)


def test_a_mistake_in_an_override_has_no_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL + "  steps: 5\nmodel:\n  options: {channel: true}\n")
    for override in ("train.steps=-1", "model.options={chanel: true}", "model.options.channel=3"):
        with pytest.raises(RecipeError, match=r"mine\.yaml: (train|model)"):
            load_recipe(str(path), [override])
    path.write_text(path.read_text().replace("channel: true", "channel: 3"))
    with pytest.raises(RecipeError, match=r"mine\.yaml, line 9: model\.options\.channel is 3"):
        load_recipe(str(path))


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(SMALL + "  steps: 5\n  lr: 2e-4\n")
    with pytest.raises(RecipeError, match=r"twice\.yaml, line 8: the key 'lr' is given twice"):
        load_recipe(str(path))


def test_an_unknown_name_says_the_nearest_and_where_to_look() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'camvid/danet-lite0'\?.*recipes'"):
        load_recipe("camvid/danet-lite")
    with pytest.raises(RecipeError, match=r"no recipe '%'\. For a file of your own, give its path with \.yaml\."):
        load_recipe("%")
    with pytest.raises(RecipeError, match=r"no recipe '%'\. 'scenescope recipes' lists them all\."):
        recipe_text("%")  # of the package only
    with pytest.raises(RecipeError, match=r"Cannot read nowhere\.yaml: no such file"):
        load_recipe("nowhere.yaml")


def test_packaged_recipes() -> None:
    assert set(list_recipes()) >= {"camvid/danet-lite0", "camvid/fcn-lite0"}


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_every_recipe_is_whole_fits_one_screen_and_opens_with_its_command(name: str) -> None:
    recipe = load_recipe(name)
    text, comment = recipe_text(name), list_recipes()[name]
    assert len(text.splitlines()) <= 60
    what, command, *expected = comment.splitlines()
    assert what.endswith(".")
    assert command.startswith(f"scenescope train {name} ")
    assert expected
    assert recipe.data.kind == name.partition("/")[0]
