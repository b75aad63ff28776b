"""What the bridged algorithms of Stable-Baselines3 share.

The library's object is made from spaces alone, without an environment, and never collects: the toolkit's
collector steps the environments, its buffers keep the steps, and each training phase is one call of the
library's own ``train``. What is learned and how is thus the library's code, and everything around it
(environments, budget, evaluation, checkpoints) is the toolkit's.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from toolkit.agents.base import Array
from toolkit.agents.checks import NonFinite
from toolkit.agents.distributions import to_dtype
from toolkit.bridges.base import BridgedAgent
from toolkit.bridges.sb3.exploration import LastingNoise, require_box
from toolkit.bridges.sb3.spaces import Sight, acting_space
from toolkit.core.torch_optimizers import OptimizerState
from toolkit.registry import registry

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class SB3Agent(BridgedAgent):
    """An algorithm of Stable-Baselines3 that acts and learns when it is told to; subclasses write both."""

    library = "stable-baselines3"
    algorithm_class: type[BaseAlgorithm]

    def __init__(self, config: Any, *, observation_space: gymnasium.Space[Any], **context: Any) -> None:
        super().__init__(config, **context)
        self.use_sde: bool = getattr(config, "use_sde", False)
        if self.use_sde:
            require_box(self.action_space)
        self.sight, self.acted = Sight(observation_space, self.device), acting_space(self.action_space)
        self.algorithm: Any = self._make(observation_space)
        self.policy = self.algorithm.policy
        self.noise: LastingNoise | None = None

    def _make(self, observation_space: gymnasium.Space[Any]) -> Any:
        exploring = {"use_sde": True, "sde_sample_freq": self.config.sde_sample_freq} if self.use_sde else {}
        arguments = {**self.arguments(), **exploring,
                     "learning_rate": self._scheduled(self.config.learning_rate, "learning_rate_schedule")}
        made: Any = self.algorithm_class(self.sight.policy, None, device=self.device, policy_kwargs=self._policy_arguments(),
                                         gamma=self.config.gamma, _init_setup_model=False, **arguments)  # type: ignore[call-arg]
        made.observation_space, made.n_envs = self.sight.space, self.n_envs
        made.action_space = self.acted
        with self.randomness.drawing():
            made._setup_model()
        made.set_logger(Logger(folder=None, output_formats=[]))
        return made

    def arguments(self) -> dict[str, Any]:
        """The library's own arguments, from the config."""
        raise NotImplementedError

    def _policy_arguments(self) -> dict[str, Any]:
        config = self.config
        found: dict[str, Any] = {} if config.net_arch is None else {"net_arch": list(config.net_arch)}
        if config.activation is not None:
            found["activation_fn"] = ACTIVATIONS[config.activation]
        if hasattr(config, "log_std_init"):
            found["log_std_init"] = config.log_std_init
        return found

    def _scheduled(self, value: float, schedule: str) -> Any:
        """``value`` times the schedule named in the config, as a function of the share of the run that remains."""
        part = getattr(self.config, schedule)
        if part.name == "constant":
            return value
        factor = registry.make("scheduler", part)
        return lambda remaining: value * factor(1.0 - remaining)

    # -- acting and learning

    def see(self, observations: Array) -> Any:
        """Observations [N, ...] as the policy takes them. Raises NonFinite."""
        return self.sight(self.finite(observations))

    def greedy(self, observations: Array) -> Array:
        """Deterministic actions [N, ...] for the environments."""
        return self.for_environments(self.preferred(observations))

    def preferred(self, observations: Array) -> Tensor:
        """The policy's deterministic actions [N, ...]."""
        self.policy.set_training_mode(False)
        with torch.no_grad():
            best: Tensor = self.policy._predict(self.see(observations), deterministic=True)
        return best

    def for_environments(self, actions: Tensor) -> Array:
        """The policy's actions [N, ...] within the environments' bounds."""
        return self.shaped(self.unscaled(actions))

    def unscaled(self, actions: Tensor) -> Array:
        """The policy's actions [N, ...] as the library's space has them."""
        array: Array = actions.cpu().numpy()
        if isinstance(self.acted, spaces.Box) and self.policy.squash_output:
            array = self.policy.unscale_action(array)
        return array

    def shaped(self, actions: Array) -> Array:
        """Actions [N, ...] of the library's space in the environments' shape, within their bounds."""
        array: Array = self.within(actions).reshape(len(actions), *(self.action_space.shape or ())) + self.first_action
        return to_dtype(array, self.action_space.dtype)

    def within(self, actions: Array) -> Array:
        """Actions [N, ...] within the bounds of the library's space."""
        return actions.clip(self.acted.low, self.acted.high) if isinstance(self.acted, spaces.Box) else actions

    def learned(self) -> dict[str, float]:
        """What the library recorded in the training phase just done; what is undefined (NaN) is left out.

        Raises NonFinite when a loss is not finite.
        """
        recorded = {name: float(value) for name, value in self.algorithm.logger.name_to_value.items()}
        self.algorithm.logger.dump()
        for name, value in recorded.items():
            if name.endswith("loss") and not math.isfinite(value):
                raise NonFinite(f"{self.name}: {name} is not finite ({value}) at step {self.clock.step}. Look for NaN in the "
                                "environment's observations or rewards, or lower --learning-rate")
        return {name: value for name, value in recorded.items() if math.isfinite(value)}

    # -- saving

    def _saved(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer], dict[str, Tensor]]:
        """What the library itself saves: modules, optimizers and single tensors."""
        names, variables = self.algorithm._get_torch_save_params()
        found = {name: attrgetter(name)(self.algorithm) for name in names}
        return ({name: item for name, item in found.items() if isinstance(item, nn.Module)},
                {name: item for name, item in found.items() if isinstance(item, torch.optim.Optimizer)},
                {name: attrgetter(name)(self.algorithm) for name in variables})

    def parameters(self) -> dict[str, Tensor]:
        learned = {name: value.detach() for name, value in self.policy.named_parameters() if "_target" not in name.split(".")[0]}
        return {**learned, **{name: value.detach() for name, value in self._saved()[2].items()}}

    def initialise(self, state: dict[str, Any]) -> None:
        """Take what another run of the same algorithm has learned, and nothing else of it."""
        self.policy.load_state_dict(state["modules"]["policy"])
        for name, variable in self._saved()[2].items():
            variable.data.copy_(state["variables"][name])

    def state_dict(self) -> dict[str, Any]:
        modules, optimizers, variables = self._saved()
        return {"modules": {name: dict(item.state_dict()) for name, item in modules.items()},
                "optimizers": {name: OptimizerState(item).state_dict() for name, item in optimizers.items()},
                "variables": {name: item.detach() for name, item in variables.items()},
                "updates": self.algorithm._n_updates, **self.random_state(),
                **({} if self.noise is None else {"noise": self.noise.state_dict()})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        modules, optimizers, variables = self._saved()
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in optimizers.items():
            OptimizerState(optimizer).load_state_dict(state["optimizers"][name])
        for name, variable in variables.items():
            variable.data.copy_(state["variables"][name])
        self.algorithm._n_updates = state["updates"]
        if self.noise is not None:
            self.noise.load_state_dict(state["noise"])
        self.load_random_state(state)
