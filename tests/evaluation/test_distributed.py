import pytest
import torch.distributed as distributed

from scenescope.evaluation.distributed import joined_processes

# That two processes score as one is tested with the command line, tests/cli/test_evaluate.py.


def test_without_a_launcher_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes() as place:
        assert place == (0, 1)
        assert not distributed.is_initialized()


def test_processes_part_again_after_an_error(monkeypatch):
    told = []
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setattr(distributed, "init_process_group", lambda backend: told.append(backend))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: told.append("destroyed"))
    monkeypatch.setattr(distributed, "get_rank", lambda: 2)

    def fail_together():
        with joined_processes() as place:
            told.append(place)
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        fail_together()
    assert told == ["gloo", (2, 3), "destroyed"]
