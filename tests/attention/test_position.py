"""Position attention against a slow loop written from equation 2 of the paper."""

import math

import pytest
import torch

from scenescope.attention.position import PositionAttention, attention_map


def slow_position_attention(module: PositionAttention, features: torch.Tensor) -> torch.Tensor:
    """Write E_j = alpha * sum_i s_ji v_i + A_j with a loop for every sum, in float64."""
    weights = {
        key: value.double().flatten(1) if value.ndim == 4 else value.double()
        for key, value in module.state_dict().items()
    }
    batch, _, height, width = features.shape
    result = features.double().flatten(2).clone()
    for b in range(batch):
        a = features[b].double().flatten(1)
        query, key, value = (
            weights[f"{name}.weight"] @ a + weights[f"{name}.bias"][:, None] for name in ("query", "key", "value")
        )
        for j in range(height * width):
            energies = [float(query[:, j] @ key[:, i]) for i in range(height * width)]
            total = sum(math.exp(energy) for energy in energies)
            attended = sum(math.exp(energy) / total * value[:, i] for i, energy in enumerate(energies))
            result[b, :, j] += weights["alpha"] * attended
    return result.view(features.shape)


def awake(channels: int = 16, query_channels: int | None = None) -> PositionAttention:
    torch.manual_seed(0)
    module = PositionAttention(channels, query_channels)
    torch.nn.init.constant_(module.alpha, 0.7)
    return module


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 2)])
def test_equals_the_equation(size: tuple[int, int]) -> None:
    module = awake()
    features = torch.randn(2, 16, *size)
    torch.testing.assert_close(
        module(features).double(), slow_position_attention(module, features), rtol=1e-5, atol=1e-6
    )


def test_is_the_identity_at_initialization() -> None:
    features = torch.randn(2, 16, 3, 5)
    assert torch.equal(PositionAttention(16)(features), features)


def test_permuting_positions_permutes_the_output() -> None:
    module = awake()
    features = torch.randn(1, 16, 1, 12)
    order = torch.randperm(12)
    torch.testing.assert_close(module(features)[..., order], module(features[..., order]))


def test_rows_sum_to_one_and_explain_the_output() -> None:
    module = awake()
    features = torch.randn(2, 16, 3, 4)
    rows = module.rows(features, torch.tensor([5, 0]))
    assert rows.shape == (2, 2, 12)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 2))
    value = module.value(features).flatten(2)
    expected = module.alpha * (value @ rows[:, 0, :, None])[..., 0] + features.flatten(2)[..., 5]
    torch.testing.assert_close(module(features).flatten(2)[..., 5], expected)


def test_any_block_and_layout_gives_the_same() -> None:
    features = torch.randn(2, 16, 5, 7)
    module = awake()
    whole = module(features)
    module.block = 4
    torch.testing.assert_close(module(features), whole)
    laid_out = module(features.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(laid_out, whole)
    assert laid_out.is_contiguous(memory_format=torch.channels_last)


def test_under_autocast_the_residual_keeps_its_format() -> None:
    module = awake()
    features = torch.randn(2, 16, 3, 4)
    exact = module(features)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(features)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, exact, rtol=0.02, atol=0.02)


def test_energies_are_float32_under_autocast() -> None:
    """Energies near 100 differ by less than bfloat16 can tell (0.5), so a bfloat16 softmax would be far off."""
    torch.manual_seed(0)
    query, key = (4 * torch.randn(1, 12, 8)).bfloat16(), (4 * torch.randn(1, 8, 12)).bfloat16()
    exact = torch.softmax(query.double() @ key.double(), dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(attention_map(query, key).double(), exact, rtol=1e-4, atol=1e-6)
        careless = torch.softmax((query @ key).float(), dim=-1)
    assert (careless - exact).abs().max() > 1e-3


def test_query_width_is_an_eighth_unless_given() -> None:
    assert PositionAttention(512).query.out_channels == 64
    assert PositionAttention(80, 16).key.out_channels == 16
    assert PositionAttention(4).query.out_channels == 1


def plainly(module: PositionAttention, features: torch.Tensor) -> torch.Tensor:
    """Return what the equation says, with the whole matrix."""
    query, key, value = (part(features).flatten(2) for part in (module.query, module.key, module.value))
    weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    return module.alpha * (value @ weights.transpose(1, 2)).reshape(features.shape) + features


def with_parameters(form):  # type: ignore[no-untyped-def]
    """Return a function of (parameters, features) that sums squares."""
    module = awake()
    bound = torch.nn.Module()
    bound.inner, bound.forward = module, lambda features: form(module, features).square().sum()  # type: ignore[method-assign]
    return lambda parameters, features: torch.func.functional_call(
        bound, {f"inner.{name}": value for name, value in parameters.items()}, (features,)
    )


TRANSFORMS = {
    "jvp": lambda form, x: torch.func.jvp(form, (x,), (torch.ones_like(x),))[1],
    "vjp": lambda form, x: torch.func.vjp(form, x)[1](torch.ones_like(x))[0],
    "grad": lambda form, x: torch.func.grad(lambda given: form(given).square().sum())(x),
    "jacrev": lambda form, x: torch.func.jacrev(form)(x),
    "jacfwd": lambda form, x: torch.func.jacfwd(form)(x),
    "hessian": lambda form, x: torch.func.hessian(lambda given: form(given).square().sum())(x),
    "vmap": lambda form, x: torch.func.vmap(form)(torch.stack([x, x + 1])),
    "compiled jvp": lambda form, x: torch.compile(TRANSFORMS["jvp"], backend="aot_eager")(form, x),
}


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_torch_func_are_right(name: str, gradients: bool) -> None:
    """Operators of one's own are refused by torch under most of them (pytorch#168393); under jvp it dropped terms."""
    module = awake(8)
    features = torch.randn(2, 8, 2, 3)
    with torch.set_grad_enabled(gradients):
        ours = TRANSFORMS[name](module, features)
        expected = TRANSFORMS[name](lambda given: plainly(module, given), features)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_every_sample_are_those_of_samples_alone() -> None:
    parameters = {name: value.detach() for name, value in awake().named_parameters()}
    samples = torch.randn(3, 1, 16, 2, 3)
    together = torch.func.vmap(torch.func.grad(with_parameters(PositionAttention.forward)), (None, 0))(
        parameters, samples
    )
    for number, sample in enumerate(samples):
        alone = torch.func.grad(with_parameters(plainly))(parameters, sample)
        for name, expected in alone.items():
            torch.testing.assert_close(together[name][number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_forward_mode_is_right_with_frozen_parameters_too(frozen: bool) -> None:
    module = awake().requires_grad_(not frozen)
    features, tangent = torch.randn(1, 16, 2, 3), torch.randn(1, 16, 2, 3)
    expected = torch.func.jvp(lambda given: plainly(module, given), (features,), (tangent,))[1]
    with torch.no_grad() if frozen else torch.enable_grad(), torch.autograd.forward_ad.dual_level():
        dual = module(torch.autograd.forward_ad.make_dual(features, tangent))
        found = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_many_maps_without_gradients_form_no_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under vmap too the energies are formed a few rows at a time."""
    formed: list[tuple[int, ...]] = []
    softmax = torch.softmax
    monkeypatch.setattr(torch, "softmax", lambda energies, dim: formed.append(energies.shape) or softmax(energies, dim))
    module = awake()
    module.block = 5
    with torch.no_grad():
        torch.func.vmap(module)(torch.randn(2, 1, 16, 3, 4))
    assert [tuple(shape) for shape in formed] == [(1, 5, 12), (1, 5, 12), (1, 2, 12)]
