"""What the whole suite shares."""

from hypothesis import settings


def test_no_example_of_a_property_is_timed() -> None:
    assert settings.default is not None
    assert settings.default.deadline is None
