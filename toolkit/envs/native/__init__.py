"""Classic control environments stepped as arrays: all copies in one NumPy expression.

They are equal to gymnasium's step for step; copy i draws its starts from a generator of its own, as a
gymnasium environment with its seed does. Gymnasium vectorises only CartPole so; a step of its eight copies
takes 1.6 times as long, and it loses a step at each reset.
"""

from __future__ import annotations

# gymnasium's entry point -> ours; names alone, so that nothing is imported before it is made.
NATIVE = {
    "gymnasium.envs.classic_control.acrobot:AcrobotEnv": "toolkit.envs.native.acrobot:Acrobot",
    "gymnasium.envs.classic_control.cartpole:CartPoleEnv": "toolkit.envs.native.cartpole:CartPole",
    "gymnasium.envs.classic_control.mountain_car:MountainCarEnv": "toolkit.envs.native.mountain_car:MountainCar",
    "gymnasium.envs.classic_control.continuous_mountain_car:Continuous_MountainCarEnv":
        "toolkit.envs.native.mountain_car:MountainCarContinuous",
    "gymnasium.envs.classic_control.pendulum:PendulumEnv": "toolkit.envs.native.pendulum:Pendulum",
}
for _short in [key for key in NATIVE if ".classic_control." in key]:
    # gymnasium registers them through the package: "gymnasium.envs.classic_control:AcrobotEnv".
    NATIVE["gymnasium.envs.classic_control:" + _short.rpartition(":")[2]] = NATIVE[_short]
del _short
