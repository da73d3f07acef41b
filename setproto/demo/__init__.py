"""The demonstration: one purchase from end to end, what everybody saw of it, and four attacks on it.

Everything is computed from the real messages and the real keys; ``setproto demo`` only prints it.
"""

from setproto.demo.attacks import Attack
from setproto.demo.keep import KeepRefused, keep, prepare
from setproto.demo.run import Demonstration, demonstrate
from setproto.demo.views import Fact, Step

__all__ = ["Attack", "Demonstration", "Fact", "KeepRefused", "Step", "demonstrate", "keep", "prepare"]
