import pytest

from scenescope.errors import ModelError
from scenescope.inference.settings import InferenceSettings


def test_windows_move_by_two_thirds_unless_told():
    assert InferenceSettings(window=768).step == 512
    assert InferenceSettings(window=769).step == 513  # as mmsegmentation's settings for 769
    assert InferenceSettings(window=1).step == 1
    assert InferenceSettings(window=768, stride=100).step == 100


def test_scores_are_probabilities_only_where_views_are_averaged():
    assert not InferenceSettings().averages
    assert not InferenceSettings(scales=(0.5,), window=9).averages
    assert InferenceSettings(scales=(0.5, 1.0)).averages
    assert InferenceSettings(flip=True).averages


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
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ModelError, match=message):
        InferenceSettings(**given)
