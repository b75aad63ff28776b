"""Environments whose observations are sound, registered with gymnasium when this module is imported.

`toolkit run ... --env toolkit/HearAndGo-v0` imports it; in other programs ``import toolkit.envs.hearing``
or ``gymnasium.make("toolkit.envs.hearing:toolkit/HearAndGo-v0")`` does.
"""

from __future__ import annotations

import gymnasium

# name -> (module and stem of the classes, steps of an episode)
ENVIRONMENTS = {
    "HearAndGo": ("hear_and_go", 12), "SoundSeeker": ("sound_seeker", 60), "KeywordGuard": ("keyword_guard", 100),
    "PitchMatch": ("pitch_match", 40),
}
# gymnasium's entry point -> the same environment with its copies in arrays
VECTORS = {f"toolkit.envs.hearing.{module}:{name}": f"toolkit.envs.hearing.{module}:{name}Envs"
           for name, (module, _) in ENVIRONMENTS.items()}

for _name, (_module, _steps) in ENVIRONMENTS.items():
    _id = f"toolkit/{_name}-v0"
    if _id not in gymnasium.registry:
        gymnasium.register(_id, f"toolkit.envs.hearing.{_module}:{_name}", max_episode_steps=_steps)
