"""The attack list of the self-check and of the tests."""

from score.interpreter.attacks.attack import Attack
from score.interpreter.attacks.channel import CHANNEL
from score.interpreter.attacks.files import FILES
from score.interpreter.attacks.language import LANGUAGE
from score.interpreter.attacks.network import NETWORK
from score.interpreter.attacks.processes import PROCESSES
from score.interpreter.attacks.resources import RESOURCES
from score.interpreter.attacks.sessions import SESSIONS

__all__ = ["ATTACKS", "Attack"]

ATTACKS = [*NETWORK, *SESSIONS, *FILES, *PROCESSES, *RESOURCES, *CHANNEL, *LANGUAGE]
