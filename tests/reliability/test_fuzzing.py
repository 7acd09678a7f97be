"""Settings, palettes and label tables of any kind: what is written down loads as what it was."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenescope.data.classes_yaml import read_class_file
from scenescope.errors import ScenescopeError
from scenescope.labels import IGNORE
from scenescope.recipes.reader import load_recipe
from tests.reliability.conftest import WHOLE

EXAMPLES = 2000 if WHOLE else 40
SCRATCH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

numbers = st.floats(1e-6, 10, allow_nan=False)
overrides = st.fixed_dictionaries(
    {},
    optional={
        "train.steps": st.integers(1, 10**6),
        "train.batch_size": st.integers(1, 64),
        "train.lr": numbers,
        "train.grad_clip_norm": st.none() | numbers,
        "train.precision": st.sampled_from(["auto", "float32", "bfloat16"]),
        "train.norm": st.sampled_from(["batch", "sync", "frozen"]),
        "augment.crop": st.tuples(st.integers(1, 999), st.integers(1, 999)),
        "augment.flip": st.floats(0, 1),
        "loss.class_weights": st.sampled_from(["none", "median_frequency"]) | st.lists(numbers, min_size=1, max_size=8),
        "data.root": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30),
        "model.backbone": st.sampled_from(["resnet18", "resnet50", "tf_efficientnet_lite0"]),
        "model.options": st.dictionaries(st.sampled_from(["low_level_channels", "dropout"]), st.integers(0, 3)),
    },
)


@settings(max_examples=EXAMPLES, suppress_health_check=SCRATCH)
@given(overrides)
def test_a_resolved_recipe_loads_as_itself(tmp_path_factory, chosen):
    given_as = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in chosen.items()]
    try:
        recipe = load_recipe("scenes/danet-demo", given_as)
    except ScenescopeError:
        return  # such as a crop without pixels; that refusals are one line is another test's
    place = tmp_path_factory.getbasetemp() / "resolved.yaml"
    place.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(str(place)) == recipe


labels = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs"]), min_size=1, max_size=12),
    min_size=1,
    max_size=6,
    unique=True,
)


@settings(max_examples=EXAMPLES, suppress_health_check=SCRATCH)
@given(labels, st.data())
def test_a_label_table_means_what_was_written(tmp_path_factory, names, data):
    count = len(names)
    codes = data.draw(st.lists(st.integers(0, 65535), min_size=count + 1, max_size=count + 1, unique=True))
    colors = data.draw(st.booleans())

    def written(code):
        return [code >> 8, code & 255, 7] if colors else code

    content = {
        "names": names,
        "ignore": [written(codes[-1])],
        ("colors" if colors else "values"): [written(c) for c in codes[:-1]],
    }
    place = tmp_path_factory.getbasetemp() / "classes.yaml"
    place.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")  # JSON is YAML, of every version
    classes, table = read_class_file(place)
    assert list(classes.names) == names
    for number, code in enumerate(codes):
        packed = ((code >> 8) << 16 | (code & 255) << 8 | 7) if colors else code
        assert table.train_ids[packed] == (number if number < count else IGNORE)


@settings(max_examples=EXAMPLES, suppress_health_check=SCRATCH)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_in_the_place_of_settings_is_one_line(tmp_path_factory, content):
    place = tmp_path_factory.getbasetemp() / "any.yaml"
    place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for read in (read_class_file, lambda path: load_recipe(str(path))):
        with pytest.raises(ScenescopeError) as refused:
            read(place)
        assert "\n" not in str(refused.value)
