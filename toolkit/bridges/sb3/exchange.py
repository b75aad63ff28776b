"""Policies to and from Stable-Baselines3's own files.

kind_of_file  what a saved file holds, from its JSON alone
loaded        its algorithm object; the file is a pickle, so only on the caller's word that it is trusted
settings_of   its settings under the toolkit's names
exported      an agent of the toolkit as an algorithm object of the library
require_equal_actions  raises for a space in which the two act differently by design
agree         raises unless both choose the same actions
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from torch import Tensor, nn

from toolkit.agents.base import Agent, Array
from toolkit.agents.networks.mlp import MLP
from toolkit.bridges.sb3.base import ACTIVATIONS, SB3Agent
from toolkit.errors import ToolkitError, UsageError
from toolkit.registry import registry

ROOM = "stable_baselines3"
KINDS = {f"{ROOM}.dqn.policies": "dqn", f"{ROOM}.sac.policies": "sac", f"{ROOM}.td3.policies": "td3"}
PROBES = 1000  # observations on which two policies must agree
FAR = 10.0  # where a space has no bounds, observations are drawn from [-FAR, FAR]
CLIP_MEAN = 2.0  # limit of SAC's means under gSDE, before the tanh
TIE = 1e-4  # continuous actions that are nearer than this share of the range are equal


def kind_of_file(path: str) -> str:
    """ppo, a2c, dqn, sac, td3 or ddpg. Nothing is executed. Raises UsageError for what Stable-Baselines3 has not saved."""
    if not Path(path).is_file():
        near = f" Did you mean {path}.zip?" if Path(f"{path}.zip").is_file() else ""
        raise UsageError(f"there is no file {path}.{near}")
    try:
        with zipfile.ZipFile(path) as archive:
            data: Mapping[str, Any] = json.loads(archive.read("data"))
        module = data["policy_class"]["__module__"]
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: it is not a policy that Stable-Baselines3 has saved with model.save() ({error})") from error
    if module == f"{ROOM}.common.policies":
        return "ppo" if "clip_range" in data else "a2c"
    if module not in KINDS:
        raise UsageError(f"{path}: it holds a policy of {module}. Allowed: the library's own of ppo, a2c, dqn, sac and td3")
    if KINDS[module] == "td3" and data.get("policy_delay") == 1 and (data.get("policy_kwargs") or {}).get("n_critics") == 1:
        return "ddpg"  # which the library saves with the policy of td3
    return KINDS[module]


def loaded(path: str, kind: str) -> Any:
    """The algorithm object. This unpickles, and so may execute what the file holds."""
    try:
        return getattr(stable_baselines3, kind.upper()).load(path, device="cpu")
    except Exception as error:  # whatever unpickling a file of another version raises
        raise ToolkitError(f"{path}: Stable-Baselines3 cannot load it: {type(error).__name__}: {error}") from error


def settings_of(algorithm: Any, kind: str) -> dict[str, Any]:
    """The settings of the agent ``sb3-KIND`` that the algorithm was made with."""
    entry = registry.get("agent", f"sb3-{kind}")
    found: dict[str, Any] = {}
    for item in entry.settings:
        value = getattr(algorithm, item.name, None)
        if item.kind or item.name in ("learning_rate", "clip_range", "buffer_size"):
            continue
        if isinstance(value, (bool, int, float)):  # words, such as an entropy coefficient of "auto", are what is done by default
            found[item.name] = value
    found["learning_rate"] = float(algorithm.lr_schedule(1.0))
    if callable(getattr(algorithm, "clip_range", None)):
        found["clip_range"] = float(algorithm.clip_range(1.0))
    architecture = algorithm.policy.net_arch
    if isinstance(architecture, dict):
        widths = {tuple(value) for value in architecture.values()}
        if len(widths) > 1:
            raise UsageError(f"its networks differ in width ({architecture}); a run has one net_arch for all")
        architecture = list(widths.pop())
    found["net_arch"] = list(architecture)
    found.update(exploration_of(algorithm))
    used = {name: value for name, value in ACTIVATIONS.items() if value is algorithm.policy.activation_fn}
    if not used:
        raise UsageError(f"its activation is {algorithm.policy.activation_fn.__name__}; allowed: {', '.join(ACTIVATIONS)}")
    found["activation"] = next(iter(used))
    return {name: value for name, value in found.items() if name in {item.name for item in entry.settings}}


def exploration_of(algorithm: Any) -> dict[str, Any]:
    """The first deviation of the noise; raises UsageError for a form of gSDE that the agents sb3-* do not have."""
    holder = getattr(algorithm, "actor", None) or algorithm.policy
    if algorithm.use_sde:
        facts = getattr(algorithm.policy, "dist_kwargs", None) or vars(holder)
        own = algorithm.policy is not holder  # SAC's actor squashes always
        for option, usual in (("full_std", True), ("use_expln", False), *(() if own else (("squash_output", False),))):
            if facts.get(option, usual) != usual:
                raise UsageError(f"its exploration (gSDE) has {option}={facts[option]}; allowed: {usual}")
        if own and holder.clip_mean != CLIP_MEAN:
            raise UsageError(f"its exploration (gSDE) has clip_mean={holder.clip_mean}; allowed: {CLIP_MEAN}")
    return {"log_std_init": float(holder.log_std_init)} if hasattr(holder, "log_std_init") else {}


# -- the other way


def exported(agent: Agent, name: str, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> Any:
    """The agent as an algorithm object of the library, ready for its ``save``.

    Raises UsageError for an agent, a network or an option without a counterpart there.
    """
    if isinstance(agent, SB3Agent):
        for ours, theirs in ((observation_space, agent.sight.space), (action_space, agent.acted)):
            if ours != theirs:
                raise UsageError(f"{name} saw {ours} as {theirs}, since the library has no policy for the former; such a run "
                                 "cannot be exported")
        kind, state = name.removeprefix("sb3-"), agent.policy.state_dict()
        arguments = {"net_arch": list(agent.policy.net_arch) if not isinstance(agent.policy.net_arch, dict)
                     else agent.policy.net_arch, "activation_fn": agent.policy.activation_fn}
        policy = agent.sight.policy
    else:
        kind, state, arguments = counterpart(agent, name)
        policy = "MlpPolicy"
    small = {"buffer_size": 1} if kind in ("dqn", "sac", "td3", "ddpg") else {}
    more: dict[str, Any] = {"target_entropy": -1.0} if kind == "sac" else {}
    settings = getattr(agent, "config", None)
    if getattr(settings, "use_sde", False):
        more.update(use_sde=True, sde_sample_freq=getattr(settings, "sde_sample_freq", -1))
    algorithm: Any = getattr(stable_baselines3, kind.upper())(policy, None, device="cpu", policy_kwargs=arguments,
                                                              _init_setup_model=False, **small, **more)
    algorithm.observation_space, algorithm.action_space, algorithm.n_envs = observation_space, action_space, 1
    algorithm._setup_model()
    missing, unexpected = algorithm.policy.load_state_dict(state, strict=False)
    if unexpected:
        raise ToolkitError(f"{name}: the library's policy has no {', '.join(unexpected[:3])}")
    learned = [key for key in missing if "target" not in key and "log_std" not in key]
    if learned:
        raise ToolkitError(f"{name}: nothing of the agent stands for the library's {', '.join(learned[:3])}")
    return algorithm


def counterpart(agent: Any, name: str) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """The library's name of the algorithm, its policy's state, and the arguments of its policy."""
    makers: dict[str, tuple[str, Callable[[Any], tuple[dict[str, Tensor], MLP]]]] = {
        "ppo": ("ppo", of_actor_critic), "actor-critic": ("a2c", of_actor_critic), "dqn": ("dqn", of_dqn), "sac": ("sac", of_sac),
        "td3": ("td3", of_td3)}
    if name not in makers:
        raise UsageError(f"{name} has no counterpart in Stable-Baselines3. Allowed: {', '.join(makers)}, and the agents sb3-*")
    kind, maker = makers[name]
    without(agent.config.normalize_observations, "normalised observations")
    state, body = maker(agent)
    return kind, state, {"net_arch": list(body.config.hidden_sizes), "activation_fn": ACTIVATIONS[body.config.activation]}


def of_actor_critic(agent: Any) -> tuple[dict[str, Tensor], MLP]:
    policy = agent.policy
    without(policy.shared or policy.critic is None, "a shared network")
    without(getattr(agent.config, "recurrent", False), "recurrent policies")
    without(getattr(agent.config, "action_masking", False), "action masks")
    actor, critic = plain(policy.actor.body), plain(policy.critic.body)
    state = {**layers("mlp_extractor.policy_net", actor), **layers("mlp_extractor.value_net", critic),
             **linear("action_net", policy.actor.head), **linear("value_net", policy.critic.head)}
    if policy.log_std is not None:
        state["log_std"] = policy.log_std.detach()
    if agent.reach is not None:  # the library's policies speak in the environment's own numbers
        centre, half = (torch.from_numpy(part.ravel()) for part in agent.reach)
        state["action_net.weight"] = state["action_net.weight"] * half[:, None]
        state["action_net.bias"] = state["action_net.bias"] * half + centre
        state["log_std"] = state["log_std"] + half.log()
    return state, actor


def of_dqn(agent: Any) -> tuple[dict[str, Tensor], MLP]:
    without(agent.config.dueling, "dueling networks (--dueling)")
    without(agent.config.noisy, "noisy networks (--noisy)")
    network = acting(agent, agent.online)
    body = plain(network.body)
    state = {**layers("q_net.q_net", body), **linear(f"q_net.q_net.{2 * len(body.linear)}", network.advantage)}
    return {**state, **{key.replace("q_net.", "q_net_target.", 1): value for key, value in state.items()}}, body


def acting(agent: Any, newest: Any) -> Any:
    """The network of the deterministic policy: the average of the last ones where there is one."""
    return agent.average.module if agent.average else newest


def of_sac(agent: Any) -> tuple[dict[str, Tensor], MLP]:
    actor = acting(agent, agent.actor)
    body, head, size = plain(actor.body), actor.head, agent.size
    if agent.config.use_sde:  # there the means pass a limit, and the deviation is a parameter
        return {**layers("actor.latent_pi", body), **linear("actor.mu.0", head), "actor.log_std": actor.log_std.detach(),
                **of_critics(agent)}, body
    state = {**layers("actor.latent_pi", body), "actor.mu.weight": head.weight.detach()[:size],
             "actor.mu.bias": head.bias.detach()[:size], "actor.log_std.weight": head.weight.detach()[size:],
             "actor.log_std.bias": head.bias.detach()[size:]}
    return {**state, **of_critics(agent)}, body


def of_td3(agent: Any) -> tuple[dict[str, Tensor], MLP]:
    actor = acting(agent, agent.actor)
    body = plain(actor.body)
    state = {**layers("actor.mu", body), **linear(f"actor.mu.{2 * len(body.linear)}", actor.head)}
    target = {key.replace("actor.", "actor_target.", 1): value for key, value in state.items()}
    return {**state, **target, **of_critics(agent)}, body


def of_critics(agent: Any) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for prefix, critics in (("critic", agent.critics), ("critic_target", agent.target_critics)):
        for index, headed in enumerate(critics.headed):
            body, name = plain(headed.body), f"{prefix}.qf{index}"
            state.update({**layers(name, body), **linear(f"{name}.{2 * len(body.linear)}", headed.head)})
    return state


def plain(body: nn.Module) -> MLP:
    if not isinstance(body, MLP) or not body.encoder.plain:
        raise UsageError("only an mlp on observations that are vectors of floats has the same form in Stable-Baselines3")
    without(body.config.layer_norm, "layer norms")
    return body


def without(given: object, what: str) -> None:
    if given:
        raise UsageError(f"{what} have no counterpart in Stable-Baselines3's policies; such a run cannot be exported")


def layers(prefix: str, body: MLP) -> dict[str, Tensor]:
    """Linear layers with an activation after each, as `torch.nn.Sequential` numbers them."""
    numbered = [linear(f"{prefix}.{2 * index}", layer) for index, layer in enumerate(body.linear)]
    return {key: value for layer in numbered for key, value in layer.items()}


def linear(prefix: str, layer: nn.Linear) -> dict[str, Tensor]:
    return {f"{prefix}.weight": layer.weight.detach(), f"{prefix}.bias": layer.bias.detach()}


# -- proof


def require_equal_actions(space: gymnasium.Space[Any]) -> None:
    """Raise UsageError for actions that are whole numbers in a range: the same outputs become other actions there and here."""
    if isinstance(space, gymnasium.spaces.Box) and np.issubdtype(space.dtype, np.integer):
        raise UsageError(f"the actions are whole numbers in a range, {space}: Stable-Baselines3 hands the environment what its "
                         "policy gives, cut to the range and with its fraction, where the toolkit rounds to the nearest. So the "
                         "two would act differently, and such a policy cannot be exchanged. Use it here: toolkit evaluate RUN")


def agree(algorithm: Any, agent: Agent, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
    """Raise ToolkitError unless both choose the same deterministic actions for a thousand observations."""
    seen = probes(observation_space)
    theirs = np.asarray(algorithm.predict(seen, deterministic=True)[0])
    with torch.no_grad():
        ours = np.asarray(agent.act(seen, deterministic=True).actions)
    if isinstance(action_space, gymnasium.spaces.Box):
        room = np.where(np.isfinite(action_space.high - action_space.low), action_space.high - action_space.low, 1.0)
        different = np.abs(ours.reshape(theirs.shape) - theirs) > TIE * room
    else:
        different = ours.reshape(theirs.shape) != theirs
    if different.any():
        raise ToolkitError(f"the two policies differ on {int(different.any(tuple(range(1, different.ndim))).sum())} of {PROBES} "
                           "observations; nothing was written")


def probes(space: gymnasium.Space[Any]) -> Array:
    """A thousand observations from everywhere in a space, the same each time."""
    generator = np.random.default_rng(0)
    if isinstance(space, gymnasium.spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = (np.clip(bound, -FAR, FAR) for bound in (space.low, space.high))
        drawn: Array = generator.uniform(low, high, (PROBES, *space.shape)).astype(space.dtype)
        return drawn
    space.seed(0)
    return np.stack([np.asarray(space.sample()) for _ in range(PROBES)])


def suffixed(path: str) -> Path:
    """The name that the library gives a file: ``.zip`` where it has no ending."""
    return Path(path) if Path(path).suffix else Path(path + ".zip")
