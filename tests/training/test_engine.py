"""Variables that accelerate would obey."""

from pathlib import Path

import pytest

from scenescope.errors import TrainingError
from scenescope.training.engine import OTHER_ENGINES
from tests.training.tiny import tiny_training


@pytest.mark.parametrize("name", OTHER_ENGINES)
def test_an_environment_that_asks_for_another_training_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "inductor" if "DYNAMO" in name else "true")
    with pytest.raises(TrainingError, match=rf"asks for {name}=(inductor|true), but the recipe alone"):
        tiny_training(tmp_path)
    monkeypatch.setenv(name, "NO" if "DYNAMO" in name else "false")  # as accelerate's launcher writes it
    tiny_training(tmp_path)
    assert not list(tmp_path.iterdir())
