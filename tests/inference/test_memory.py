import pytest
import torch

from scenescope.errors import ImageError
from scenescope.inference.memory import memory_errors


def test_more_memory_than_there_is_becomes_one_line():
    told = pytest.raises(ImageError, match=r"^A picture needs more memory than there is; scale it down\.$")
    with told, memory_errors(ImageError, "A picture", "scale it down"):
        torch.empty(2**50)
    with pytest.raises(ImageError), memory_errors(ImageError, "A picture", "scale it down"):
        raise MemoryError


def test_other_errors_pass():
    told = pytest.raises(RuntimeError, match="shapes cannot be multiplied")
    with told, memory_errors(ImageError, "A picture", "scale it down"):
        torch.ones(2, 3) @ torch.ones(2, 3)
