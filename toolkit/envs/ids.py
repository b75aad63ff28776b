"""Importing this module makes every env known to gymnasium: those that are heard, and the registry's, from plugins too.

Libraries that take a gymnasium id then take ``toolkit.envs.ids:NAME`` (gymnasium imports what stands before the colon):

    gymnasium.make("toolkit.envs.ids:my-distribution/my-env")
    torchrl.envs.GymEnv("toolkit.envs.ids:toolkit/HearAndGo-v0")
    torchrl.envs.GymEnv("toolkit.envs.ids:my-distribution/my-env")
"""

from __future__ import annotations

import toolkit.envs.hearing  # noqa: F401 (makes its environments known to gymnasium)
from toolkit.envs.specs import registered
from toolkit.registry import registry

for _entry in registry.entries("env"):
    registered(_entry)
