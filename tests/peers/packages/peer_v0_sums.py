"""verifiers 0.3: its own ReasoningGymEnv, in the package that it expects around it."""

import verifiers as vf


def load_environment(gym="chain_sum", num_train=120, num_eval=60, **kwargs):
    return vf.ReasoningGymEnv(gym, num_train, num_eval, **kwargs)
