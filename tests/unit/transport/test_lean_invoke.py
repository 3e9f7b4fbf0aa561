"""Nothing that is deployed with is loaded with unittest.mock, and no stand-in for it is left."""

from __future__ import annotations

import subprocess
import sys

CHECK = """
import sys
import shipit.commands.deploy
assert sys.modules["fabric"].Connection
loaded = {"unittest.mock", "asyncio", "ssl"} & sys.modules.keys()
assert not loaded, loaded
from unittest.mock import Mock
assert Mock().anything
"""


def test_what_connects_loads_no_mocks_and_they_can_be_had_later() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True)
