"""A program of an app is started without anything of root's, and its end is reported correctly."""

from __future__ import annotations

import signal
import subprocess

import pytest

from shipit.agent.host import transient
from shipit.agent.host.transient import Command
from shipit.agent.system.failures import Refused

ENV_FILES = ("/opt/app/env/a.env", "/opt/app/env/b.env")
CHECK = Command(("/bin/check", "$HOME", "%n", "--now"), "nobody", "/opt/app", ENV_FILES, "/bin")


def test_the_environment_is_named_and_never_given() -> None:
    argv = transient.argv("x.service", CHECK, 60.0)
    named = [word.partition("=")[2] for word in argv if word.startswith("--property=Env")]
    files = [value for value in named if value.startswith("EnvironmentFile=")]
    assert files == [f"EnvironmentFile={path}" for path in ENV_FILES]
    assert "Environment=PATH=/bin" in named
    assert not any(word.startswith("--setenv") for word in argv)


def test_the_programs_words_are_not_read_by_systemd() -> None:
    argv = transient.argv("x.service", CHECK, 60.0)
    assert argv[-4:] == ["/bin/check", "$$HOME", "%n", "--now"]


def test_nobody_is_needed_to_end_it() -> None:
    assert "--property=RuntimeMaxSec=65.500" in transient.argv("x.service", CHECK, 60.5)


def test_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        transient.argv("x.service", Command(("/bin/true",), "no-such-user", "/"), 1.0)
    assert caught.value.failure.code == "no-user"


def test_no_two_programs_share_a_unit() -> None:
    names = {transient.name() for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("shipit-run.") and name.endswith(".service") for name in names)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("/bin/sh", "-c", "exit 3"), 3),
        (("/bin/sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM),
        (("/no/such/program",), 127),
        (("/bin/sh", "-c", 'test "$1" = "a b;c"', "sh", "a b;c"), 0),
    ],
)
def test_a_program_that_was_killed_has_not_succeeded(words: tuple[str, ...], status: int) -> None:
    argv = [*transient.WAIT_AND_MARK, "the-end", *words]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout.endswith(f"the-end {status}\n")
