import pytest
import torch

from scenescope.device import resolve_device
from scenescope.errors import DeviceError


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_automatic_takes_a_gpu_where_there_is_one(gpus, monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    gpus(0)
    assert resolve_device(None) == resolve_device("auto") == torch.device("cpu")
    gpus(2)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", 0)


def test_each_process_of_a_launcher_takes_its_own_gpu(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert resolve_device("auto") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "meta", "cpu:1", "", "CUDA"])
def test_an_unknown_name_is_refused_with_the_known_ones(gpus, name):
    gpus(1)
    with pytest.raises(DeviceError, match=r"no device .*this machine has auto, cpu, cuda:0"):
        resolve_device(name)


def test_a_gpu_that_is_not_there_is_refused(gpus):
    gpus(0)
    with pytest.raises(DeviceError, match="cuda was asked for, but torch sees no CUDA device here"):
        resolve_device("cuda")
    gpus(1)
    with pytest.raises(DeviceError, match="no device cuda:3; this machine has auto, cpu, cuda:0"):
        resolve_device("cuda:3")
