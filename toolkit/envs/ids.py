"""Importing this module makes every env of the registry known to gymnasium, built-in and from plugins.

Libraries that take a gymnasium id then take ``toolkit.envs.ids:NAME`` (gymnasium imports what stands before the colon):

    gymnasium.make("toolkit.envs.ids:my-distribution/my-env")
    torchrl.envs.GymEnv("toolkit.envs.ids:my-distribution/my-env")
"""

from __future__ import annotations

from toolkit.envs.factory import registered
from toolkit.registry import registry

for _entry in registry.entries("env"):
    registered(_entry)
