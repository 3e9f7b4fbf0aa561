"""invoke, loaded without what only its test support needs.

For a class of that it imports unittest.mock, and with it asyncio, ssl and more: a tenth of the CPU
of a command that connects (invoke 2.2). fabric and paramiko load invoke.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

UNUSED = "unittest.mock"


class _StandIn(ModuleType):
    Mock = object


if UNUSED not in sys.modules:
    sys.modules[UNUSED] = _StandIn(UNUSED)
    try:
        import_module("invoke")
    finally:
        del sys.modules[UNUSED]
