import pytest

from scenescope.errors import ModelError
from scenescope.inference.settings import InferenceSettings


def test_windows_move_by_two_thirds_unless_told():
    assert InferenceSettings(window=768).step == 512
    assert InferenceSettings(window=769).step == 513  # as mmsegmentation's settings for 769
    assert InferenceSettings(window=1).step == 1
    assert InferenceSettings(window=769, border="pad").step == 512  # the official code rounds down
    assert InferenceSettings(window=768, stride=100).step == 100
    assert InferenceSettings(window=1025, stride=0.5).step == 512
    assert InferenceSettings(window=3, stride=0.1).step == 1


def test_scores_are_probabilities_only_where_views_are_averaged():
    assert not InferenceSettings().averages
    assert not InferenceSettings(scales=(0.5,), window=9).averages
    assert InferenceSettings(scales=(0.5, 1.0)).averages
    assert InferenceSettings(flip=True).averages
    assert InferenceSettings(combine="exp").averages


@pytest.mark.parametrize(
    ("base_size", "scale", "size", "expected"),
    [
        (None, 0.5, (101, 60), (50, 30)),
        (520, 1.0, (375, 500), (390, 520)),
        (520, 1.0, (500, 333), (520, 346)),  # 346.3
        (521, 0.5, (100, 200), (131, 261)),  # the long side 260.5 is rounded up, the short one 130.5 to the nearest
        (520, 1.0, (1, 5000), (1, 520)),
        ((2048, 512), 1.0, (375, 500), (512, 683)),  # the short side decides
        ((2048, 512), 1.0, (100, 500), (410, 2048)),  # the long side decides
        ((2049, 1025), 0.5, (1024, 2048), (512, 1024)),  # limits 1024 and 512
        ((2048, 512), 1.0, (500, 375), (683, 512)),  # an image on its side
    ],
)
def test_the_size_that_is_looked_at(base_size, scale, size, expected):
    assert InferenceSettings(base_size=base_size).size_at(scale, *size) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scales": ()}, "scales=.* positive numbers"),
        ({"scales": (1.0, 0.0)}, "scales=.*0.0"),
        ({"scales": (float("nan"),)}, "scales=.*nan"),
        ({"window": 0}, "window=0 .* at least 1"),
        ({"stride": 3}, "stride=3 has no window"),
        ({"window": 8, "stride": 9}, "stride=9 .* give 1 to 8"),
        ({"window": 8, "stride": 0}, "stride=0 .* give 1 to 8"),
        ({"window": 8, "stride": 1.5}, "stride=1.5 .* a share of the window such as 0.5"),
        ({"window": 8, "stride": float("nan")}, "stride=nan"),
        ({"base_size": 0}, "base_size=0 .* such as 2048"),
        ({"base_size": (2048, 1024, 3)}, "base_size=.*3"),
        ({"base_size": 2**20}, "up to 32768 pixels"),
        ({"border": "padd"}, "border='padd' is not known. Did you mean 'pad'.* Known: shift, pad"),
        ({"combine": "sum"}, "combine='sum' is not known. Known: softmax, exp"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ModelError, match=message):
        InferenceSettings(**given)
