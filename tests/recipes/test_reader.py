from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenescope.data.settings import AugmentSettings, DataSettings
from scenescope.errors import RecipeError
from scenescope.models.settings import ModelSettings
from scenescope.recipes.reader import dump_recipe, list_recipes, load_recipe, recipe_text
from scenescope.recipes.recipe import Recipe
from scenescope.training.settings import LossSettings, TrainSettings

SMALL = """\
data:
  kind: scenes
augment:
  crop: [64, 96]
train:
  learning_rate: 1e-4
"""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def test_reads_a_file(small: str) -> None:
    recipe = load_recipe(small)
    assert recipe.augment.crop == (64, 96)
    assert recipe.train.learning_rate == 0.0001


def test_overrides_replace_single_settings_and_the_last_one_counts(small: str) -> None:
    recipe = load_recipe(
        small,
        [
            "train.steps=5",
            "train.steps=6",
            "train.learning_rate=2e-3",
            "augment.crop=[32, 48]",
            "model.options.channel_form=paper",
            "loss.weights={position: 0.5}",
            "loss.class_weights=[1, 2.5]",
            "train.average_decay=null",
            "data.root=/a folder/with=sign",
        ],
    )
    assert (recipe.train.steps, recipe.train.learning_rate, recipe.train.average_decay) == (6, 0.002, None)
    assert recipe.augment.crop == (32, 48)
    assert recipe.model.options == {"channel_form": "paper"}
    assert (recipe.loss.weights, recipe.loss.class_weights) == ({"position": 0.5}, (1.0, 2.5))
    assert recipe.data.root == "/a folder/with=sign"
    assert recipe.train.batch_size == TrainSettings().batch_size


def test_an_override_of_text_stays_text_though_it_looks_like_a_number(small: str) -> None:
    assert load_recipe(small, ["data.root=007"]).data.root == "007"
    assert load_recipe(small, ["data.root=1e3"]).data.root == "1e3"
    assert load_recipe(small, ["train.start_from=2024"]).train.start_from == "2024"
    assert load_recipe(small, ["train.start_from=null"]).train.start_from is None


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
    Path(small).write_text(dump_recipe(recipe))
    assert load_recipe(small) == recipe


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.step=3", r"^train\.step is not a setting\. Did you mean 'train\.steps'\?$"),
        ("trian.steps=3", r"^trian\.steps is not a setting\. Did you mean 'train\.steps'\?$"),
        ("steps=3", r"^steps is not a setting\. Did you mean 'train\.steps'\?$"),
        ("train={steps: 3}", r"^train is a section, not a setting; .* such as train\.steps=VALUE\.$"),
        ("train.steps", r"^'train\.steps' is no setting; write KEY=VALUE, such as train\.steps=2000\.$"),
        ("=3", r"^'=3' is no setting; write KEY=VALUE"),
        ("train.learning_rate.x=3", r"cannot be set: train\.learning_rate is 0\.0001, a single value\.$"),
        ("augment.crop=[1", r"^augment\.crop, line 1: "),
        ("data.root=a\udcff", r"^data\.root holds bytes that are not UTF-8 text; rename"),
        ("train.steps=-1", r"small\.yaml: train\.steps is -1, but it should be greater than 0\.$"),
    ],
)
def test_an_override_that_cannot_be_used(small: str, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told) as caught:
        load_recipe(small, [override])
    assert "\n" not in str(caught.value)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(SMALL + "  steps: 5\n  learning_rate: 2e-4\n")
    with pytest.raises(RecipeError, match=r"twice\.yaml, line 8: the key 'learning_rate' is given twice"):
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


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
POSITIVE = st.floats(min_value=1e-300, allow_infinity=False)
RECIPES = st.builds(
    Recipe,
    model=st.builds(
        ModelSettings,
        name=st.text(),
        backbone=st.sampled_from(["null", "1e5", "no", "resnet50c.gluon_in1k", "- a", "#", "a: b", "true "]),
        multi_grid=st.none() | st.lists(st.integers(), max_size=3).map(tuple),
        options=st.dictionaries(st.text(), JSON, max_size=3),
    ),
    data=st.builds(DataSettings, kind=st.text(), root=st.text(), val_fraction=st.none() | st.floats(0.01, 0.99)),
    augment=st.builds(
        AugmentSettings,
        crop=st.tuples(st.integers(1), st.integers(1)),
        scale=st.tuples(POSITIVE, POSITIVE).map(lambda pair: (min(pair), max(pair))),
    ),
    loss=st.builds(
        LossSettings,
        class_weights=st.just("median_frequency") | st.lists(POSITIVE, max_size=3).map(tuple),
        weights=st.dictionaries(st.text(), POSITIVE, max_size=2),
    ),
    train=st.builds(
        TrainSettings,
        steps=st.integers(1),
        learning_rate=POSITIVE,
        decay_norms=st.booleans(),
        start_from=st.none() | st.text(),
    ),
)


@given(RECIPES)
def test_what_is_written_reads_back_equal(recipe: Recipe) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "recipe.yaml")
        path.write_bytes(dump_recipe(recipe).encode("utf-8"))
        assert load_recipe(str(path)) == recipe


def test_what_is_written_is_plain_where_it_can_be(small: str) -> None:
    text = dump_recipe(load_recipe(small, ["data.root=/data/camvid", "model.options.form=no", "train.start_from=1e5"]))
    assert "\n  root: /data/camvid\n" in text
    assert "\n  options: {form: no}\n" in text
    assert '\n  start_from: "1e5"\n' in text
    assert "\n  crop: [64, 96]\n" in text
    assert "\n  multi_grid: null\n" in text
