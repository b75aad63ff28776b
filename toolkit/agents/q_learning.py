"""What the DQN family shares: networks, epsilon-greedy acting, the loop over minibatches, saving.

A member says how many outputs an action has (Z), what their expectation is, what the targets are,
and the gradient of its loss by the outputs; see `toolkit.agents.dqn` for the simplest.

Letters: K minibatches, B transitions, A actions, Z atoms, N environments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from toolkit.agents.base import Acted, Array, Batches, Cadence, Steps, Updated
from toolkit.agents.checks import require_action_space, require_finite
from toolkit.agents.configs import QLearningConfig
from toolkit.agents.networks.body import make_body
from toolkit.agents.networks.fast import forward_of, path_of
from toolkit.agents.normalization import Sight
from toolkit.agents.q_network import QNetwork
from toolkit.config import Part
from toolkit.core.averaging import TailAverage
from toolkit.core.clock import Clock
from toolkit.core.flat import FlatParameters, named_parameters
from toolkit.core.optimizers import FlatAdam
from toolkit.core.schedules import interpolate
from toolkit.core.seeding import Streams
from toolkit.errors import UsageError
from toolkit.registry import registry

LONGEST = 10_000  # steps of one random action; an episode's end ends it too
CACHED = 65_536  # numbers of a layer's outputs that stay in the cache until the next layer reads them


class Phase(NamedTuple):
    """All minibatches of a training phase, as tensors."""

    observations: Tensor  # [K, B, ...]
    actions: Tensor  # [K, B] counted from zero
    rewards: Tensor  # [K, B]
    discounts: Tensor  # [K, B], zero where the episode terminated
    following: Tensor  # [K, B, ...]
    target_outputs: Tensor  # [K, B, A, Z] of the target network at ``following``


class Slope(NamedTuple):
    """Of one minibatch: the gradient of its summed losses by the chosen outputs [B, Z], and how surprising each
    transition was [B], for prioritized replay."""

    by_outputs: Tensor
    surprise: Tensor


class QLearner:
    """Q-network, target network, Adam; epsilon-greedy.

    The target network is updated when the run crosses a multiple of ``target_update_interval``
    environment steps, which is when Stable-Baselines3 updates it (parameters do not change while
    steps are collected, so doing it at the start of the training phase is the same).
    """

    name = ""
    atoms = 1
    adam_eps = 1e-8

    def __init__(self, config: QLearningConfig, *, observation_space: gymnasium.Space[Any],
                 action_space: gymnasium.Space[Any], n_envs: int = 1, streams: Streams | None = None,
                 clock: Clock | None = None, device: torch.device | str = "cpu") -> None:
        require_action_space(self.name, action_space)
        if config.noisy and config.exploration_zeta is not None:
            raise UsageError(f"--exploration-zeta {config.exploration_zeta:g}: random actions last so long, and a noisy network "
                             "takes none. Leave it out, or add --noisy false")
        streams = streams or Streams(0)
        self.config: Any = config
        self.clock, self.device = clock or Clock(budget=1), torch.device(device)
        self.generator, self.noise = streams.generator("acting"), streams.generator("parameter noise")
        assert isinstance(action_space, gymnasium.spaces.Discrete)  # as checked above
        self.n_actions, self.first_action = int(action_space.n), int(action_space.start)
        self.cadence = Cadence(config.train_freq, config.gradient_steps, config.batch_size, config.learning_starts)
        self.buffer, self.buffer_size = buffer_part(config), config.buffer_size
        self.sight = Sight(config, observation_space)
        self.online, self.target = (self._network(observation_space) for _ in range(2))
        self.flat, self.flat_target = FlatParameters(self.online), FlatParameters(self.target)
        self.flat.blend_into(self.flat_target, 1.0)
        self.optimizer = FlatAdam(self.flat, eps=self.adam_eps)
        self.schedule = registry.make("scheduler", config.learning_rate_schedule)
        self._outputs = self.online.acting()
        self.average = TailAverage(self.flat, config.average_fraction, self.clock) if config.average_fraction else None
        self._average_outputs = self._outputs if self.average is None else self.average.module.acting()
        self._path, self._selector = path_of(self.online, config.batch_size), forward_of(self.online, config.batch_size)
        self._at_once = max(1, CACHED // (config.batch_size * self.online.features))
        self._target_forward = forward_of(self.target, self._at_once * config.batch_size)
        self._updates, self._target_step = 0, 0

    def _network(self, observation_space: gymnasium.Space[Any]) -> QNetwork:
        config = self.config
        body = make_body(config.network, observation_space)
        return QNetwork(body, self.n_actions, self.atoms, config.dueling, config.noisy).to(self.device)

    # -- what a member of the family defines

    def expectation(self, outputs: Any) -> Any:
        """Values [..., A] of outputs [..., A, Z]; for arrays and for tensors."""
        raise NotImplementedError

    def goals(self, rewards: Tensor, discounts: Tensor, following: Tensor) -> Tensor:
        """Targets [..., B, Z] of transitions [..., B] whose next actions have the target network's outputs [..., B, Z]."""
        raise NotImplementedError

    def slope(self, chosen: Tensor, goals: Tensor) -> Slope:
        """Of the loss of the chosen actions' outputs [B, Z] against targets [B, Z]."""
        raise NotImplementedError

    def losses(self, surprises: Tensor) -> Tensor:
        """Each transition's loss, of any shape, from how surprising it was: here they are the same."""
        return surprises

    # -- acting

    @property
    def epsilon(self) -> float:
        """The chance of a random action at this step of the run; noisy networks explore by themselves."""
        return 0.0 if self.config.noisy else epsilon_at(self.config, self.clock.fraction)

    def act(self, observations: Array, state: Array | None = None, mask: Array | None = None,
            deterministic: bool = False) -> Acted:
        observations = self.sight(observations)
        if deterministic:
            return Acted(self._greedy(observations, mask, noisy=False))
        count = len(observations)
        epsilon = 1.0 if self.clock.step < self.config.learning_starts else self.epsilon
        if self.config.exploration_zeta is not None:
            return self._lasting(observations, state, mask, epsilon)
        explore = self.generator.random(count) < epsilon
        if not explore.any():
            return Acted(self._greedy(observations, mask, noisy=True))
        random = self._random(count, mask)
        if explore.all():
            return Acted(random)
        return Acted(np.where(explore, random, self._greedy(observations, mask, noisy=True)))

    def _lasting(self, observations: Array, state: Array | None, mask: Array | None, epsilon: float) -> Acted:
        """Epsilon-greedy whose random actions last (Dabney et al., 2021): where single ones cancel out, as on a hill that must
        be climbed with a swing, they never leave the start. The state [N, 2] is the steps left and the action, from zero."""
        count = len(observations)
        left, kept = np.zeros((2, count), np.int64) if state is None else state.T
        goes_on = left > 0
        if mask is not None:
            goes_on &= mask[np.arange(count), kept]  # an action that is no longer allowed is over
        begins = (self.generator.random(count) < epsilon) & ~goes_on
        drawn = self._random(count, mask) - self.first_action
        lengths = np.minimum(self.generator.zipf(self.config.exploration_zeta, count), LONGEST)
        kept = np.where(begins, drawn, kept)
        left = np.where(begins, lengths, np.where(goes_on, left, 0))
        explore = begins | goes_on
        actions = kept + self.first_action
        if not explore.all():
            actions = np.where(explore, actions, self._greedy(observations, mask, noisy=True))
        return Acted(actions, state=np.stack([np.maximum(left - 1, 0), kept], 1))

    def _greedy(self, observations: Array, mask: Array | None, noisy: bool) -> Array:
        network, outputs = self._acting(noisy)
        if self.config.noisy:
            network.use_noise(noisy)
            if noisy:
                network.resample(self.noise)
        values: Array = self.expectation(outputs(observations))  # [N, A]
        if mask is not None:
            values = np.where(mask, values, -np.inf)
        actions: Array = values.argmax(1) + self.first_action
        return actions

    def _acting(self, noisy: bool) -> tuple[QNetwork, Callable[[Array], Array]]:
        """The newest network to explore with; the average, once there is one, for deterministic actions."""
        if self.average and not noisy:
            return self.average.module, self._average_outputs
        return self.online, self._outputs

    def _random(self, count: int, mask: Array | None) -> Array:
        if mask is None:
            return self.generator.integers(self.n_actions, size=count) + self.first_action
        actions: Array = np.where(mask, self.generator.random(mask.shape), -1.0).argmax(1) + self.first_action
        return actions

    # -- updating

    def observe(self, steps: Steps) -> None:
        self.sight.take_in(steps)

    @torch.no_grad()
    def update(self, batches: Batches) -> Updated:
        self._update_target()
        self._renew_noise(self.target)
        phase = self._phase(batches)
        config, path, count = self.config, self._path, batches.rewards.shape[1]
        learning_rate = float(config.learning_rate * self.schedule(self.clock.fraction))
        weights = None if batches.weights is None else self._tensor(batches.weights)
        gradient = torch.zeros(count, self.n_actions, self.atoms, device=self.device)  # [B, A, Z]
        surprises = torch.empty_like(phase.rewards)  # [K, B]
        index = self._of_actions(phase.actions)  # [K, B, 1, Z]
        chosen = torch.empty(index.shape, device=self.device)
        # Whatever does not depend on the parameters is done for the whole phase: calls cost more than arithmetic here.
        goals = None if config.double else self.goals(phase.rewards, phase.discounts, self._best(phase))  # [K, B, Z]
        for k, (observations, places, outputs, surprise) in enumerate(zip(phase.observations, index, chosen, surprises)):
            self._renew_noise(self.online)
            aims = self._double_goals(phase, k) if goals is None else goals[k]
            torch.gather(path.forward(observations), 1, places, out=outputs)
            slope, found = self.slope(outputs.squeeze(1), aims)
            surprise.copy_(found)
            slope /= count
            if weights is not None:
                slope *= weights[k].unsqueeze(-1)
            path.backward(gradient.zero_().scatter_(1, places, slope.unsqueeze(1)))
            norm = self.flat.clip(config.max_grad_norm)
            require_finite(norm, self.name, self.clock.step, self._updates)
            self.optimizer.step(learning_rate)
            self._updates += 1
        if self.average is not None:
            self.average.add()
        return Updated(self._metrics(self.losses(surprises), chosen, learning_rate), surprises.cpu().numpy())

    def _metrics(self, losses: Tensor, chosen: Tensor, learning_rate: float) -> dict[str, float]:
        return {"train/loss": float(losses.mean()), "train/q_value": float(chosen.mean()), "train/learning_rate": learning_rate,
                "train/n_updates": float(self._updates), "rollout/exploration_rate": self.epsilon}

    def _phase(self, batches: Batches) -> Phase:
        following = self._tensor(self.sight(batches.next_observations))
        discounts = self.config.gamma if batches.discounts is None else self._tensor(batches.discounts)
        return Phase(
            self._tensor(self.sight(batches.observations)), self._tensor(batches.actions).long() - self.first_action,
            self._tensor(batches.rewards), discounts * (~self._tensor(batches.terminated)).float(), following,
            self._target_outputs(following))

    def _target_outputs(self, following: Tensor) -> Tensor:
        """Target-network outputs [K, B, A, Z] of all next observations of the phase.

        As many minibatches at once as keep their activations in the cache, which is several times
        faster than one large pass.
        """
        outputs = torch.empty(*following.shape[:2], self.n_actions, self.atoms, device=self.device)
        for some, place in zip(following.split(self._at_once), outputs.split(self._at_once), strict=True):
            place.copy_(self._target_forward(some.flatten(0, 1)).view_as(place))
        return outputs

    def _best(self, phase: Phase) -> Tensor:
        """The target network's outputs [K, B, Z] for the actions that it would take next."""
        return self._chosen(phase.target_outputs, self.expectation(phase.target_outputs).argmax(-1))

    def _double_goals(self, phase: Phase, k: int) -> Tensor:
        """Targets [B, Z] of minibatch k, the next actions being those of the network that is learning."""
        best = self.expectation(self._selector(phase.following[k])).argmax(-1)
        return self.goals(phase.rewards[k], phase.discounts[k], self._chosen(phase.target_outputs[k], best))

    def _chosen(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Of outputs [..., B, A, Z] those [..., B, Z] of the actions [..., B]."""
        return outputs.gather(-2, self._of_actions(actions)).squeeze(-2)

    def _of_actions(self, actions: Tensor) -> Tensor:
        """Actions [..., B] as an index [..., B, 1, Z] into outputs [..., B, A, Z]."""
        return actions[..., None, None].expand(*actions.shape, 1, self.atoms)

    def _renew_noise(self, network: QNetwork) -> None:
        if self.config.noisy:
            network.resample(self.noise)

    def _update_target(self) -> None:
        interval = self.config.target_update_interval
        crossed = self.clock.step // interval - self._target_step // interval
        if crossed:
            self.flat.blend_into(self.flat_target, 1.0 - (1.0 - self.config.tau) ** crossed)
        self._target_step = self.clock.step

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    # -- saving

    def parameters(self) -> dict[str, Tensor]:
        averaged = {} if self.average is None else {"average": self.average.module}
        return named_parameters({"online": self.online, **averaged})

    def initialise(self, state: dict[str, Any]) -> None:
        """Take the networks of another run of the same agent, and nothing else of it."""
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["online"])
        self.sight.load(state)

    def state_dict(self) -> dict[str, Any]:
        averaged = {} if self.average is None else {"average": self.average.state_dict()}
        return {
            **averaged,
            "online": self.online.state_dict(), "target": self.target.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.bit_generator.state, "noise": self.noise.bit_generator.state,
            "updates": self._updates, "target_step": self._target_step, **self.sight.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.online.load_state_dict(state["online"])
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.generator.bit_generator.state, self.noise.bit_generator.state = state["generator"], state["noise"]
        self._updates, self._target_step = state["updates"], state["target_step"]
        self.sight.load(state)


def epsilon_at(config: Any, fraction: float) -> float:
    """The chance of a random action at a share of the run: a line from the first to the final epsilon of ``config``."""
    if config.exploration_fraction == 0:
        return float(config.exploration_final_eps)
    return interpolate(config.exploration_initial_eps, config.exploration_final_eps, fraction / config.exploration_fraction)


def buffer_part(config: QLearningConfig) -> Part:
    """The buffer asked for; a buffer that forms n-step returns gets the agent's discount and n_step.

    Raises UsageError where the buffer has no n_step, or another one was asked of it.
    """
    name, options = config.buffer.name, dict(config.buffer.options)
    fields = {item.name: item.default for item in registry.get("buffer", name).settings}
    if "gamma" in fields:
        asked = options.get("gamma", fields["gamma"])
        if asked not in (fields["gamma"], config.gamma):
            raise UsageError(f"--buffer.gamma {asked:g} and the agent's gamma {config.gamma:g} differ. "
                             f"Say it once: --gamma {asked:g}")
        options["gamma"] = config.gamma
    if config.n_step > 1:
        if "n_step" not in fields:
            raise UsageError(f"--n-step {config.n_step}: the buffer {name} has no n_step. Leave it out, or use --buffer uniform")
        asked = options.get("n_step", fields["n_step"])
        if asked not in (fields["n_step"], config.n_step):
            raise UsageError(f"--buffer.n-step {asked} and the agent's n_step {config.n_step} differ. "
                             f"Say it once: --n-step {asked}")
        options["n_step"] = config.n_step
    return Part(name, options)
