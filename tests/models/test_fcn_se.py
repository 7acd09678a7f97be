"""FCN-SE is FCN on weighed features."""

import torch

from scenescope.models.catalog import create_model


def test_equals_fcn_on_weighed_features() -> None:
    network = create_model("fcn_se", num_classes=3, backbone="resnet18").eval()
    fcn = create_model("fcn", num_classes=3, backbone="resnet18").eval()
    fcn.backbone.load_state_dict(network.backbone.state_dict())
    fcn.head.load_state_dict(network.head.fcn.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert network.head.squeeze_excitation.excitation[0].out_features == 4
    assert not torch.allclose(network(images).logits, fcn(images).logits, atol=1e-4)
    # Weights of 1 leave FCN.
    torch.nn.init.constant_(network.head.squeeze_excitation.excitation[2].bias, 50.0)
    torch.testing.assert_close(network(images).logits, fcn(images).logits)
