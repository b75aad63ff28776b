"""Names: declaring, finding, explaining what is not found, making."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from toolkit.config import ConfigError, Part, Setting, setting, settings_of
from toolkit.entries import BUILTIN, KINDS, Broken, Entry, describe, kind_of, undescribe
from toolkit.errors import MissingExtra, ToolkitError, UsageError
from toolkit.registry import CONTEXT, AmbiguousComponent, Declarer, DuplicateComponent, Registry, UnknownComponent, registry
from toolkit.training.presets import load_presets
from toolkit.training.resolve import plan

BUILTINS = [entry for entry in Registry(plugins=False).entries() if entry.distribution == BUILTIN]


@dataclass(frozen=True)
class TinyConfig:
    """One knob."""

    width: int = setting(4, "how wide", unit="units", minimum=1, maximum=9)


class Tiny:
    """A component that keeps what it was made with."""

    def __init__(self, config: TinyConfig, observation_space: object = None) -> None:
        self.config, self.observation_space = config, observation_space


def empty() -> Registry:
    return Registry(rooms=(), plugins=False)


@pytest.mark.parametrize("entry", BUILTINS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_every_builtin_is_declared_completely(entry: Entry) -> None:
    assert entry.summary.endswith(".") or ":" in entry.summary
    assert entry.load() is not None or entry.missing
    for item in entry.settings:
        assert item.help, f"{entry.name}.{item.name} has no help"
        assert item.default is None or item.check(item.default) == item.default
    for subjects in load_presets(entry).values():
        for subject in subjects:
            assert subject


@pytest.mark.parametrize("entry", [entry for entry in BUILTINS if entry.kind == "agent"], ids=lambda entry: entry.name)
def test_every_preset_of_an_agent_resolves(entry: Entry) -> None:
    for name, subjects in load_presets(entry).items():
        for subject in subjects:
            resolved = plan(entry, {"env": subject.replace("*", "Pong-v5")}, preset=name)
            assert resolved.preset == name
            assert "preset" in resolved.config.origins.values()


def test_kinds_answer_to_singular_and_plural() -> None:
    assert kind_of("agents") is kind_of("agent")
    with pytest.raises(UsageError, match=r"unknown kind 'agnet'. Did you mean 'agent'"):
        kind_of("agnet")
    assert len({kind.singular for kind in KINDS}) == len(KINDS)


def test_a_declared_component_is_found_by_name_alias_and_id() -> None:
    source = empty()
    Declarer(source, "mine").add("network", "tiny", "a.b:C", summary="Small.", aliases=("wee",))
    for name in ("tiny", "wee", "mine/tiny", "mine/wee"):
        assert source.get("network", name).id == "mine/tiny"


def test_agents_and_tasks_share_their_names() -> None:
    source = empty()
    Declarer(source, "mine").add("agent", "thing", "a:B", summary="One.")
    with pytest.raises(DuplicateComponent, match="declared twice"):
        Declarer(source, "mine").add("task", "thing", "a:C", summary="Other.")


def test_the_same_target_again_is_silent_and_another_raises_with_both_origins() -> None:
    source = empty()
    declare = Declarer(source, "mine").add
    declare("op", "twice", "a:B", summary="One.")
    declare("op", "twice", "a:B", summary="One.")
    with pytest.raises(DuplicateComponent) as caught:
        declare("op", "twice", "a:C", summary="Other.")
    assert str(caught.value).count(__file__) == 2
    assert "a:B" in str(caught.value) and "a:C" in str(caught.value)


def test_a_builtin_is_never_shadowed_and_two_plugins_are_ambiguous() -> None:
    source = empty()
    for distribution in (BUILTIN, "guest"):
        Declarer(source, distribution).add("buffer", "ring", f"{distribution}:Ring", summary="Ring.")
    assert source.get("buffer", "ring").distribution == BUILTIN
    assert source.get("buffer", "guest/ring").distribution == "guest"
    for distribution in ("one", "two"):
        Declarer(source, distribution).add("buffer", "box", f"{distribution}:Box", summary="Box.")
    with pytest.raises(AmbiguousComponent, match="Write one/box or two/box"):
        source.get("buffer", "box")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_listing_command() -> None:
    with pytest.raises(UnknownComponent, match=r"unknown agent 'dqm'. Did you mean 'dqn'.*toolkit list agent"):
        registry.get("agent", "dqm")
    with pytest.raises(UnknownComponent, match="'mlp' is a network"):
        registry.get("agent", "mlp")
    with pytest.raises(LookupError):
        registry.get("agent", "nothing-like-it")


def test_the_decorator_registers_a_live_object_under_its_docstring() -> None:
    source = empty()
    source.register("network", "tiny", config=TinyConfig)(Tiny)
    entry = source.get("network", "tiny")
    assert entry.summary == "A component that keeps what it was made with."
    made = source.make("network", "tiny", width=3, observation_space="here")
    assert (made.config.width, made.observation_space) == (3, "here")


def test_the_decorator_says_that_a_name_of_the_toolkits_own_goes_on_to_mean_that(only_here: None) -> None:
    with pytest.warns(UserWarning, match="network 'mlp' goes on to mean the toolkit's own; this one is 'local/mlp'") as said:
        registry.register("network", "mlp", config=TinyConfig)(Tiny)
    assert [item.filename for item in said] == [__file__]
    assert registry.get("network", "mlp").distribution == "toolkit" and registry.get("network", "local/mlp").target is Tiny


def test_a_part_is_made_with_its_options() -> None:
    source = empty()
    source.register("network", "tiny", config=TinyConfig)(Tiny)
    made = source.make("network", Part("tiny", {"width": 3}), observation_space="here")
    assert (made.config.width, made.observation_space) == (3, "here")
    with pytest.raises(ConfigError, match="unknown setting 'widht'"):
        source.make("network", Part("tiny", {"widht": 3}))


def test_context_that_is_missing_is_named_with_a_call_that_works() -> None:
    with pytest.raises(UsageError, match=r"network 'mlp' is made for observation_space, which is not given. Allowed: "
                       r"toolkit.make\('network', 'mlp', observation_space=gymnasium.make\('CartPole-v1'\).observation_space"):
        registry.make("network", "mlp", hidden_sizes=(4,))
    with pytest.raises(UsageError, match=r"'ppo' is made for action_space, n_envs, streams, clock, device, which are not given. "
                                         r".*n_envs=1.*For a whole run: toolkit.train\('ppo', env='CartPole-v1'\)"):
        registry.make("agent", "ppo", observation_space=None)
    assert set(CONTEXT) == {name for kind in KINDS for name in kind.context}


@pytest.mark.parametrize(("kind", "name"), [("network", "mlp"), ("agent", "ppo"), ("buffer", "uniform"), ("model", "mlp"),
                                            ("optimizer", "adam")])
def test_the_example_of_a_kinds_context_makes_one(kind: str, name: str) -> None:
    import pathlib

    import gymnasium
    import numpy
    import torch

    import toolkit.core.clock
    import toolkit.core.seeding

    words = {"gymnasium": gymnasium, "numpy": numpy, "torch": torch, "toolkit": toolkit, "pathlib": pathlib,
             "model": torch.nn.Linear(2, 2)}
    registry.make(kind, name, **{word: eval(CONTEXT[word], words) for word in kind_of(kind).context})


def test_wrong_options_fail_before_the_target_is_imported() -> None:
    source = empty()
    Declarer(source, "mine").add("network", "tiny", "no_such_module:C", config=TinyConfig, summary="Small.")
    with pytest.raises(ConfigError, match=r"unknown setting 'widht'. Did you mean 'width'"):
        source.make("networks", "tiny", widht=3)
    with pytest.raises(ConfigError, match="width: got 10, allowed: a whole number at least 1 and at most 9"):
        source.make("network", "tiny", width=10)
    with pytest.raises(ToolkitError, match="could not be imported from 'no_such_module:C'.*Tell the authors of mine; "
                                           "once it is mended: toolkit check network mine/tiny"):
        source.make("network", "tiny", width=3)


def test_the_same_target_with_another_config_is_declared_twice() -> None:
    source = empty()
    declarer = Declarer(source, "mine")
    for _ in range(2):
        declarer.add("network", "tiny", "a.b:C", config="a.b:One", summary="Small.")
    with pytest.raises(DuplicateComponent, match="declared twice: at .* for a.b:C with the config a.b:One and at .* for a.b:C "
                                                 "with the config a.b:Two. Rename one of them"):
        declarer.add("network", "tiny", "a.b:C", config="a.b:Two", summary="Small.")
    for config in (None, TinyConfig):  # a cell of a notebook that is changed and run again
        source.register("network", "tiny", config=config)(Tiny)


def test_plugins_that_are_broken_are_named_where_a_component_is_unknown() -> None:
    source = empty()
    source.broken += [Broken("toolkit-my-loss", "1.0", "it raised", "tell its authors")] * 2
    place = Setting("loss", "str", kind="loss")
    for ask in (lambda: source.get("loss", "my-loss"), lambda: source.part(place, "my-loss")):
        with pytest.raises(UnknownComponent, match=r"unknown loss 'my-loss'.*toolkit list loss. toolkit-my-loss is broken; "
                                                   "see: toolkit plugins$"):
            ask()
    source.broken.append(Broken("other", "1.0", "it raised", "tell its authors"))
    with pytest.raises(UnknownComponent, match="other and toolkit-my-loss are broken; see: toolkit plugins"):
        source.get(("loss", "model"), "my-loss")


def test_a_missing_extra_names_its_install_command() -> None:
    source = empty()
    Declarer(source, "mine").add("op", "far", "a:B", summary="Far.", extras={"not_here_at_all": "pip install far"})
    with pytest.raises(MissingExtra, match="needs 'not_here_at_all'.*pip install far"):
        source.make("op", "far")


@pytest.mark.parametrize(("name", "target", "summary", "reason"), [
    ("Bad Name", "a:B", "One.", "is not allowed"), ("fine", "no colon", "One.", "not of the form"),
    ("fine", 3, "One.", "neither"), ("fine", "a:B", "", "has no summary")])
def test_nonsense_is_refused(name: str, target: object, summary: str, reason: str) -> None:
    with pytest.raises(ToolkitError, match=reason):
        Declarer(empty(), "mine").add("op", name, target, summary=summary)


@pytest.mark.parametrize("entry", BUILTINS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_an_entry_survives_its_json_form(entry: Entry) -> None:
    again = undescribe(describe(entry), entry.distribution)
    assert describe(again) == describe(entry)
    assert again.settings == settings_of(entry.config_class())
