"""Conformance suites: what a component of each kind promises, proven.

Suite     a class of ``test_...`` methods; each proves one promise, which its docstring states
examine   runs a suite outside of pytest, promise by promise (``toolkit check NAME``)

A plugin's test file subclasses the suite of its kind, and pytest finds the rest:

    from toolkit.testing import AgentSuite

    class TestMine(AgentSuite):
        name = "mine"

The built-in components are held to the same suites.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.testing.agents import AgentSuite as AgentSuite
    from toolkit.testing.buffers import BufferSuite as BufferSuite
    from toolkit.testing.data import DatasetSuite as DatasetSuite
    from toolkit.testing.data import TaskSuite as TaskSuite
    from toolkit.testing.environments import EnvSuite as EnvSuite
    from toolkit.testing.models import LayerSuite as LayerSuite
    from toolkit.testing.models import ModelSuite as ModelSuite
    from toolkit.testing.networks import NetworkSuite as NetworkSuite
    from toolkit.testing.pieces import CommandSuite as CommandSuite
    from toolkit.testing.pieces import LossSuite as LossSuite
    from toolkit.testing.pieces import MetricSuite as MetricSuite
    from toolkit.testing.pieces import OpSuite as OpSuite
    from toolkit.testing.pieces import OptimizerSuite as OptimizerSuite
    from toolkit.testing.pieces import SchedulerSuite as SchedulerSuite
    from toolkit.testing.pieces import TrackerSuite as TrackerSuite
    from toolkit.testing.sound import FrontendSuite as FrontendSuite
    from toolkit.testing.sound import TransformSuite as TransformSuite
    from toolkit.testing.sound import VocoderSuite as VocoderSuite
    from toolkit.testing.suite import Suite as Suite
    from toolkit.testing.suite import examine as examine
    from toolkit.testing.text import TokenizerSuite as TokenizerSuite

_HOMES = {
    "AgentSuite": "agents", "EnvSuite": "environments", "NetworkSuite": "networks", "BufferSuite": "buffers",
    "FrontendSuite": "sound", "TransformSuite": "sound", "VocoderSuite": "sound", "ModelSuite": "models",
    "LayerSuite": "models", "TokenizerSuite": "text", "DatasetSuite": "data", "TaskSuite": "data", "OpSuite": "pieces",
    "LossSuite": "pieces", "OptimizerSuite": "pieces", "SchedulerSuite": "pieces", "MetricSuite": "pieces",
    "TrackerSuite": "pieces", "CommandSuite": "pieces", "Suite": "suite", "examine": "suite",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"toolkit.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'toolkit.testing' has no attribute {name!r}")
