"""Networks: hand-written passes equal autograd, acting equals the module, flat parameters are the module's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from toolkit.agents.distributions import distribution_for
from toolkit.agents.networks.encode import Encoder, is_image
from toolkit.agents.networks.fast import AutogradPath, ChainPath, path_of
from toolkit.agents.networks.mlp import Headed
from toolkit.agents.policy import ActorCritic, JointPath, SharedPath, TwinPath
from toolkit.agents.q_network import QNetwork
from toolkit.config import Part
from toolkit.core.flat import FlatParameters
from toolkit.core.optimizers import FlatAdam, FlatRMSprop
from toolkit.envs import packing
from toolkit.envs.base import zeros
from toolkit.errors import UsageError
from toolkit.registry import registry

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
SPACES: dict[str, gymnasium.Space[Any]] = {
    "vector": VECTOR, "matrix": spaces.Box(-1, 1, (2, 3), np.float64), "discrete": spaces.Discrete(5, start=2),
    "picture": spaces.Box(0, 255, (4, 5, 3), np.uint8), "grey": spaces.Box(0, 255, (4, 5), np.uint8),
    "choices": spaces.MultiDiscrete([2, 3]), "bits": spaces.MultiBinary(4),
    "dict": spaces.Dict({"a": VECTOR, "b": spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(2)))}),
}


def sample(space: gymnasium.Space[Any], count: int) -> Any:
    space.seed(0)
    rows = zeros(space, count)
    for row in range(count):
        rows[row] = packing.pack(space, space.sample())
    return rows


def body(space: gymnasium.Space[Any], **options: Any) -> Any:
    return registry.make("network", "mlp", observation_space=space, **{"hidden_sizes": (8, 6), **options})


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_fast_path_equals_autograd(space: gymnasium.Space[Any], activation: str, layer_norm: bool) -> None:
    torch.manual_seed(0)
    module = Headed(body(space, activation=activation, layer_norm=layer_norm), 2)
    flat = FlatParameters(module)
    path = path_of(module, 7)
    assert isinstance(path, ChainPath)
    for count in (7, 4):
        inputs, gradient = torch.from_numpy(sample(space, count)), torch.randn(count, 2)
        with torch.no_grad():
            outputs = path.forward(inputs).clone()
            path.backward(gradient.clone())
        by_hand = flat.gradients.clone()
        other = AutogradPath(module)
        torch.testing.assert_close(other.forward(inputs), outputs)
        other.backward(gradient)
        torch.testing.assert_close(flat.gradients, by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hidden", [(1,), (5,), (64, 64), (7, 3, 9)], ids=str)
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("inputs", "batch"), [(1, 1), (2, 1), (11, 32)])
def test_the_fast_path_equals_autograd_in_every_shape(hidden: tuple[int, ...], inputs: int, batch: int, layer_norm: bool) -> None:
    torch.manual_seed(1)
    module = QNetwork(body(spaces.Box(-1, 1, (inputs,), np.float32), hidden_sizes=hidden, layer_norm=layer_norm), 3)
    flat = FlatParameters(module)
    with torch.no_grad():
        path = path_of(module, batch)
        for _ in range(3):  # what is left of one pass must not reach the next
            observations, gradient = torch.randn(batch, inputs), torch.randn(batch, 3, 1)
            outputs = path.forward(observations).clone()
            path.backward(gradient.clone())
    by_hand = {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}
    flat.gradients.zero_()
    expected = module(observations)
    expected.backward(gradient)
    torch.testing.assert_close(outputs, expected.detach())
    assert set(by_hand) == {name for name, _ in module.named_parameters()}
    for name, value in module.named_parameters():
        torch.testing.assert_close(by_hand[name], value.grad, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_acting_follows_the_parameters_wherever_they_go() -> None:
    """NumPy reads the parameters' own memory: an optimizer's step, a copy and a loaded state are seen."""
    module, other = (QNetwork(body(VECTOR), 4, dueling=True) for _ in range(2))
    flat, other_flat = FlatParameters(module), FlatParameters(other)
    acting, inputs = module.acting(), torch.randn(5, 3)

    def same() -> bool:
        with torch.no_grad():
            return bool(np.allclose(acting(inputs.numpy()), module(inputs).numpy(), atol=1e-6))

    first = acting(inputs.numpy())
    flat.gradients.fill_(1.0)
    FlatAdam(flat).step(0.1)
    assert same() and not np.allclose(first, acting(inputs.numpy()))
    module.load_state_dict(other.state_dict())
    assert same() and torch.equal(flat.values, other_flat.values)
    flat.values.mul_(2.0)
    assert same()


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
@pytest.mark.parametrize("layer_norm", [False, True])
def test_acting_in_numpy_equals_the_module(space: gymnasium.Space[Any], layer_norm: bool) -> None:
    module = Headed(body(space, layer_norm=layer_norm), 3)
    observations = sample(space, 5)
    with torch.no_grad():
        expected = module(torch.from_numpy(observations)).numpy()
    np.testing.assert_allclose(module.acting()(observations), expected, atol=1e-5)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("atoms", [1, 3])
def test_the_q_networks_passes_agree(dueling: bool, atoms: int) -> None:
    module = QNetwork(body(VECTOR), 4, atoms, dueling)
    flat = FlatParameters(module)
    inputs, gradient = torch.randn(6, 3), torch.randn(6, 4, atoms)
    with torch.no_grad():
        path = path_of(module, 6)
        outputs = path.forward(inputs).clone()
        path.backward(gradient.clone())
    by_hand = flat.gradients.clone()
    other = AutogradPath(module)
    torch.testing.assert_close(other.forward(inputs), outputs)
    other.backward(gradient)
    torch.testing.assert_close(flat.gradients, by_hand, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(module.acting()(inputs.numpy()), outputs.numpy(), atol=1e-5)


def test_noisy_layers_are_their_means_without_noise_and_move_with_it() -> None:
    module = QNetwork(body(VECTOR), 2, noisy=True)
    inputs, rng = torch.randn(4, 3), np.random.default_rng(0)
    module.resample(rng)
    first = module(inputs)
    module.resample(rng)
    assert not torch.allclose(first, module(inputs))
    module.use_noise(False)
    quiet = module(inputs)
    module.resample(rng)
    assert not torch.allclose(module(inputs), quiet)
    module.use_noise(False)
    assert torch.equal(module(inputs), quiet)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(4),
                                   spaces.Box(-1, 1, (2,), np.float32)], ids=["discrete", "choices", "bits", "box"])
@pytest.mark.parametrize("share", [False, True])
def test_the_policys_gradients_by_hand_equal_autograd(space: gymnasium.Space[Any], share: bool) -> None:
    torch.manual_seed(0)
    distribution = distribution_for(space)
    policy = ActorCritic(Part("mlp", {"hidden_sizes": (8, 8), "activation": "tanh"}), VECTOR, distribution, share=share,
                         orthogonal=True, log_std_init=-0.5)
    flat = FlatParameters(policy)
    path = policy.path(9)
    assert isinstance(path, SharedPath if share else TwinPath)
    log_std = policy.log_std
    for count in (9, 5):
        inputs, weights, by_values = torch.randn(count, 3), torch.randn(count), torch.randn(count)
        space.seed(1)
        actions = torch.as_tensor(np.stack([space.sample() for _ in range(count)]))
        with torch.no_grad():
            outputs, _ = path.forward(inputs)
            evaluated = distribution.evaluate(outputs, log_std, distribution.prepare(actions))
            by_outputs, by_log_std = distribution.backward(evaluated, weights, 0.3)
            path.backward(by_outputs, by_values)
            if by_log_std is not None and log_std is not None and log_std.grad is not None:
                log_std.grad.copy_(by_log_std)
        by_hand = flat.gradients.clone()
        flat.gradients.zero_()
        both = policy(inputs)
        evaluated = distribution.evaluate(both[:, :-1], log_std, distribution.prepare(actions))
        ((weights * evaluated.log_prob).sum() + 0.3 * evaluated.entropy.sum() + (by_values * both[:, -1]).sum()).backward()
        torch.testing.assert_close(by_hand, flat.gradients, atol=1e-5, rtol=1e-5)


def test_a_shared_body_without_a_fast_path_falls_back_to_autograd() -> None:
    picture = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    policy = ActorCritic(Part("nature-cnn", {"features": 8}), picture, distribution_for(spaces.Discrete(2)), share=True,
                         orthogonal=True, log_std_init=0.0)
    flat = FlatParameters(policy)
    path = policy.path(3)
    assert isinstance(path, JointPath)
    outputs, values = path.forward(torch.zeros(3, 36, 36, 3, dtype=torch.uint8))
    path.backward(torch.ones_like(outputs), torch.ones_like(values))
    assert flat.gradients.abs().sum() > 0


@pytest.mark.parametrize("shape", [(36, 40, 3), (4, 36, 36), (50, 36), (2, 36, 40, 3), (2, 3, 36, 40)])
def test_pictures_are_taken_in_any_layout(shape: tuple[int, ...]) -> None:
    network = registry.make("network", "nature-cnn", observation_space=spaces.Box(0, 255, shape, np.uint8), features=7)
    assert network(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, 7)


@pytest.mark.parametrize("name", ["transformer", "cnn-rnn"])
def test_sequence_bodies_read_stacked_observations(name: str) -> None:
    stacked = spaces.Box(-1, 1, (3, 4), np.float32)
    network = registry.make("network", name, observation_space=stacked)
    inputs = torch.randn(5, 3, 4)
    outputs = network(inputs)
    assert outputs.shape == (5, network.features)
    torch.testing.assert_close(network(inputs[2:3]), outputs[2:3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(network(inputs.flip(1)), outputs), "the order of frames counts"


def test_frames_of_several_kinds_are_refused_whether_stacked_or_not() -> None:
    from toolkit.errors import UsageError

    for shape in ((4,), (3, 4)):
        with pytest.raises(UsageError, match="of one kind, and this environment's are Dict.*Use --network mlp, or a"):
            registry.make("network", "cnn-rnn", observation_space=spaces.Dict(a=spaces.Box(-1, 1, shape), b=spaces.Discrete(2)))


def test_pictures_too_small_or_absent_are_refused() -> None:
    from toolkit.errors import UsageError

    with pytest.raises(UsageError, match="at least 36x36.*--network mlp"):
        registry.make("network", "nature-cnn", observation_space=spaces.Box(0, 255, (35, 40, 3), np.uint8))
    with pytest.raises(UsageError, match="needs a picture.*--network mlp"):
        registry.make("network", "nature-cnn", observation_space=VECTOR)


class Wrong(torch.nn.Module):
    """Breaks what networks promise, by the name that it is registered with."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)
        self.how = how
        if how != "unsaid":
            self.features = 5 if how == "another" else 4

    def forward(self, observations: torch.Tensor) -> Any:
        found = self.layer(observations)
        return {"double": found.double(), "pair": (found, found)}.get(self.how, found)


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize("agent", ["dqn", "ppo", "sac", "td3", "reinforce"])
@pytest.mark.parametrize(("how", "said"), [
    ("unsaid", "features is None, promised: how many"), ("another", r"it gives torch.float32 \[1, 4\] of one .*\[1, 5\]"),
    ("double", r"it gives torch.float64 \[1, 4\]"), ("pair", "it gives tuple of one observation")])
def test_a_network_that_does_not_keep_what_networks_promise_is_named(how: str, said: str, agent: str) -> None:
    registry.register("network", "wrong-test", summary="A test's.")(lambda config=None, *, observation_space: Wrong(how))
    moves = spaces.Discrete(2) if agent == "dqn" else spaces.Box(-1, 1, (1,), np.float32)
    with pytest.raises(UsageError, match=f"the network wrong-test does not keep .*{said}.*toolkit check network wrong-test"):
        registry.make("agent", agent, observation_space=VECTOR, action_space=moves, network="wrong-test")


def test_flat_parameters_are_the_modules_own() -> None:
    module = torch.nn.Linear(3, 2)
    before = module(torch.ones(1, 3)).detach()
    flat = FlatParameters(module)
    torch.testing.assert_close(module(torch.ones(1, 3)), before)
    flat.values.zero_()
    assert module(torch.ones(1, 3)).abs().sum() == 0
    module(torch.ones(1, 3)).sum().backward()
    assert flat.gradients.tolist() == [1.0] * 8


def test_flat_parameters_keep_names_order_and_memory() -> None:
    module = QNetwork(body(VECTOR), 2)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    flat = FlatParameters(module)
    assert all(torch.equal(before[name], value) for name, value in module.named_parameters())
    assert torch.equal(flat.values, torch.cat([value.reshape(-1) for value in before.values()]))
    place = flat.values.data_ptr()
    for value in module.parameters():
        assert value.data_ptr() == place and value.is_contiguous()
        place += 4 * value.numel()
    with pytest.raises(ValueError, match="no trainable parameters"):
        FlatParameters(torch.nn.ReLU())


def test_clipping_is_torchs() -> None:
    module = torch.nn.Linear(3, 2)
    flat = FlatParameters(module)
    for limit in (0.5, 100.0):
        flat.gradients.copy_(torch.arange(8.0))
        twin = torch.nn.Parameter(torch.zeros(8))
        twin.grad = torch.arange(8.0)
        expected = torch.nn.utils.clip_grad_norm_([twin], limit)
        assert flat.clip(limit) == pytest.approx(float(expected))
        torch.testing.assert_close(flat.gradients, twin.grad)


@pytest.mark.parametrize(("ours", "theirs"), [
    (lambda flat: FlatAdam(flat, eps=1e-5), lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-5, fused=True)),
    (lambda flat: FlatRMSprop(flat, eps=1e-5), lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-5))])
def test_flat_optimizers_are_torchs_to_the_bit(ours: Any, theirs: Any) -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 4)
    twin = torch.nn.Parameter(torch.cat([p.detach().reshape(-1) for p in module.parameters()]))
    flat = FlatParameters(module)
    optimizer, other = ours(flat), theirs([twin])
    for _ in range(50):
        gradient = torch.randn(24)
        flat.gradients.copy_(gradient)
        twin.grad = gradient.clone()
        optimizer.step(0.01)
        other.step()
        assert torch.equal(flat.values, twin.detach())


def test_blending_is_linear_and_one_is_a_copy() -> None:
    a, b = FlatParameters(torch.nn.Linear(2, 2)), FlatParameters(torch.nn.Linear(2, 2))
    expected = 0.25 * a.values + 0.75 * b.values
    a.blend_into(b, 0.25)
    torch.testing.assert_close(b.values, expected)
    a.blend_into(b, 1.0)
    assert torch.equal(a.values, b.values)


def test_bytes_are_a_picture_up_to_255_and_a_board_below() -> None:
    picture, board = spaces.Box(0, 255, (4, 5), np.uint8), spaces.Box(0, 2, (4, 5), np.uint8)
    values = torch.full((1, 4, 5), 2, dtype=torch.uint8)
    assert is_image(picture) and not is_image(board)
    assert torch.equal(Encoder(board)(values), torch.full((1, 20), 2.0))
    assert torch.allclose(Encoder(picture)(values), torch.full((1, 20), 2 / 255))
