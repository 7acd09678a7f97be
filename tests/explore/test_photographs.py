import importlib.util
from importlib.machinery import ModuleSpec

import numpy as np

from scenescope.data.images import read_image
from scenescope.explore.photographs import find_photographs


def test_those_that_are_here_are_photographs_and_credited():
    found = find_photographs()
    assert "Grace Hopper (US Navy, public domain)" in found  # matplotlib is always there
    for name, path in found.items():
        assert name.endswith(("(danielbuechele, CC BY 2.0)", "(vultilion, CC BY 2.0)", "(US Navy, public domain)"))
        assert np.ptp(read_image(path)) > 200


def test_a_package_without_its_files_offers_none(monkeypatch, tmp_path):
    spec = ModuleSpec("empty", None)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", {"sklearn": None, "matplotlib": spec}.get)
    assert find_photographs() == {}
