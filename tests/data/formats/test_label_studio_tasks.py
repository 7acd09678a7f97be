from __future__ import annotations

import pytest

from scenescope.data.formats.label_studio_tasks import Task, path_of
from scenescope.errors import DataError


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("/data/upload/3/0123abcd-a%20b.jpg", "/data/upload/3/0123abcd-a b.jpg"),
        ("/data/local-files/?d=set/a%20b.jpg", "set/a b.jpg"),
        ("/storage-data/uploaded/?filepath=upload/3/a.jpg", "upload/3/a.jpg"),
        ("s3://bucket/set/a.jpg", "/set/a.jpg"),
        ("https://host/set/a%23.jpg?token=1#x", "/set/a#.jpg"),
        ("set/100%.jpg", "set/100%.jpg"),
        ("C:\\set\\a.jpg", "C:\\set\\a.jpg"),
        ("http://[a.jpg", "http://[a.jpg"),
    ],
)
def test_addresses_of_images(reference: str, path: str) -> None:
    assert path_of(reference) == path


def test_the_image_is_under_its_key_or_the_only_value_that_names_one() -> None:
    assert Task("task 1", {"image": "a", "thumbnail": "b.png"}, []).image == "a"
    assert Task("task 1", {"url": "s3://x/a.JPG", "text": "a dog"}, []).image == "s3://x/a.JPG"
    with pytest.raises(DataError, match="its data name 0 images"):
        Task("task 1", {"text": "a dog", "number": 3}, []).image  # noqa: B018
