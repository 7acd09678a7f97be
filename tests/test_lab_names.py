from __future__ import annotations

import pytest

from scenescope.errors import DataError
from scenescope.lab_names import LAB, from_lab


@pytest.mark.parametrize("name", LAB)
def test_every_name_leads_to_what_is_called_so(name: str) -> None:
    assert callable(from_lab(name))
    assert LAB[name].startswith("scenescope.lab.")


def test_a_data_set_of_the_lab_is_opened_by_its_kind_alone() -> None:
    with pytest.raises(DataError, match="scenes:here is not a seed"):
        from_lab("open_scenes")("here", "train")
