"""OpenEnv: an echo, after its own echo_env, and a game of several turns, in its base classes."""

import random

from openenv.core.env_server import Action, Environment, Observation, State


class EchoAction(Action):
    message: str


class EchoObservation(Observation):
    echoed_message: str = ""


class Echo(Environment[EchoAction, EchoObservation, State]):
    """Pays a tenth a letter, and is never done."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._state = State(episode_id=episode_id, step_count=0)
        return EchoObservation(echoed_message="Echo environment ready!")

    def step(self, action, timeout_s=None, **kwargs):
        self._state.step_count += 1
        return EchoObservation(echoed_message=action.message, reward=len(action.message) * 0.1)

    @property
    def state(self):
        return self._state


class GuessAction(Action):
    number: int
    sure: bool = False


class GuessObservation(Observation):
    hint: str
    low: int
    high: int


class Guess(Environment[GuessAction, GuessObservation, State]):
    """Guess a number between 0 and 99; right is worth 1, close by 0.3."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, high=99):
        super().__init__()
        self._high = high

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._secret = random.Random(seed).randint(0, self._high)
        self._state = State(episode_id=episode_id, step_count=0, parity=self._secret % 2)
        return GuessObservation(hint="go", low=0, high=self._high)

    def step(self, action, timeout_s=None, **kwargs):
        self._state.step_count += 1
        if action.number < 0:
            raise ValueError("no such number")
        distance = abs(action.number - self._secret)
        reward = 1.0 if distance == 0 else 0.3 if distance < 5 else 0.0
        hint = "right" if distance == 0 else "higher" if action.number < self._secret else "lower"
        done = distance == 0 or self._state.step_count >= 5
        return GuessObservation(hint=hint, low=0, high=self._high, reward=reward, done=done)

    @property
    def state(self):
        return self._state
