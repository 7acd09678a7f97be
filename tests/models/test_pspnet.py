"""PSPNet's pyramid by a loop over the cells of its grids."""

import torch

from scenescope.models.catalog import create_model
from scenescope.models.options import PSPNetOptions
from scenescope.models.pspnet import PSPNetHead


def test_each_level_knows_the_means_of_its_cells() -> None:
    torch.manual_seed(0)
    head = PSPNetHead([8], 3, PSPNetOptions()).eval()
    features = torch.randn(1, 8, 12, 6)
    joined: list[torch.Tensor] = []
    head.conv.register_forward_pre_hook(lambda module, inputs: joined.append(inputs[0]))
    head([features])
    torch.testing.assert_close(joined[0][:, :8], features)
    for number, side in enumerate((1, 2, 3, 6)):
        means = torch.zeros(1, 8, side, side)
        for row in range(side):
            for column in range(side):
                cell = features[
                    ..., row * 12 // side : (row + 1) * 12 // side, column * 6 // side : (column + 1) * 6 // side
                ]
                means[..., row, column] = cell.mean((2, 3))
        level = joined[0][:, 8 + 2 * number : 10 + 2 * number]
        # Corners lie on corners.
        torch.testing.assert_close(
            level[..., [0, -1], :][..., [0, -1]], head.levels[number](means)[..., [0, -1], :][..., [0, -1]]
        )


def test_widths_and_the_auxiliary_head() -> None:
    network = create_model("pspnet", num_classes=3, backbone="resnet18")
    assert network.head.conv[0].in_channels == 2 * 512
    assert network.loss_weights == {"stage3": 0.4}
    assert create_model("pspnet", num_classes=3, backbone="resnet18", auxiliary_head=False).loss_weights == {}
