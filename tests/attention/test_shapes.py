import pytest
import torch

from scenescope.attention.channel import ChannelAttention
from scenescope.attention.compact_channel import CompactChannelAttention
from scenescope.attention.compact_position import CompactPositionAttention
from scenescope.attention.position import PositionAttention
from scenescope.attention.shapes import numbered
from scenescope.attention.squeeze import SqueezeAttention
from scenescope.attention.squeeze_excitation import SqueezeExcitation
from scenescope.errors import ModelError

MODULES = {
    "position": lambda: PositionAttention(16),
    "channel": ChannelAttention,
    "compact position": lambda: CompactPositionAttention(16),
    "compact channel": lambda: CompactChannelAttention(16),
    "squeeze": lambda: SqueezeAttention(16),
    "squeeze and excitation": lambda: SqueezeExcitation(16),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("shape", [(16, 8, 8), (1, 16, 8, 8, 1), (16,)])
def test_features_that_are_no_batch_are_refused_in_one_line(name, shape):
    """A channel attention without the batch axis would mix rows in the place of channels, and say nothing."""
    module = MODULES[name]().eval()
    told = f"takes features of B x C x H x W, not {' x '.join(map(str, shape))}; .* features\\[None\\]\\.$"
    for question in ("forward", "map", "rows", "weights", "attention_channel"):
        if hasattr(module, question):
            arguments = ([0],) if question == "rows" else ()
            with pytest.raises(ModelError, match=told):
                getattr(module, question)(torch.zeros(shape), *arguments)


@pytest.mark.parametrize("positions", [[12], [-1], [0.0], [[1, 2]], [True], 3, []])
def test_what_is_no_position_names_the_range(positions):
    with pytest.raises(
        ModelError, match=r"features of 3 x 4 are whole numbers from 0 to 11 in a row, each row \* 4 \+"
    ):
        numbered(positions, torch.zeros(1, 2, 3, 4))


def test_positions_may_be_a_list_or_a_tensor():
    features = torch.zeros(1, 2, 3, 4)
    for positions in ([0, 11], torch.tensor([0, 11]), torch.tensor([0, 11], dtype=torch.int32)):
        assert numbered(positions, features).tolist() == [0, 11]
