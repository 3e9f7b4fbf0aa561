"""What the real systemd hands to a service is what the env file was made of."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from shipit.render.env_file import env_file

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

PATH = "/run/values.env"


def values() -> dict[str, str]:
    """Every character that could mean something to a parser: alone, doubled, at the ends."""
    special = "\"'\\$`%#;=!&|<>{}[]()*?~ \t\n"
    texts = [
        *special,
        *(character * 2 for character in special),
        *(f"{character}x{character}" for character in special),
        *(f"a\\{character}b" for character in special),
        *(f"{first}{second}" for first in "\\\"'$`\n #;" for second in "\\\"'$`\nn #;"),
        *("", "plain", "${HOME}", "$(id)", "`id`", "%n %% %i", "a\nB=c\nD", "\n\n", "end\\"),
        *(
            "äöü €",
            "日本語",
            "\U0001f680",
            "\u2028\u0085\u00a0",
            "\ufeffbom",
            "\\\\\\n",
            "x" * 100_000,
        ),
    ]
    return {f"V{number}": text for number, text in enumerate(texts)}


def random_values(seed: int) -> dict[str, str]:
    chance = random.Random(seed)  # noqa: S311 - the same texts in every run
    alphabet = "ab \t\n\"'\\$`%#;={}äß日🚀"
    texts = ["".join(chance.choices(alphabet, k=chance.randrange(12))) for _ in range(2000)]
    return {f"R{number}": text for number, text in enumerate(texts)}


def test_a_service_gets_every_value_byte_by_byte(lab: Lab) -> None:
    wanted = {**values(), **random_values(seed=7)}
    lab.run("web1", "tee", PATH, input=env_file(wanted))
    run = ["systemd-run", "--quiet", "--pipe", "--wait", f"--property=EnvironmentFile={PATH}"]
    printed = lab.run("web1", *run, "/usr/bin/env", "-0").stdout
    got = dict(entry.split("=", 1) for entry in printed.split("\0") if entry)
    assert {key: got.get(key) for key in wanted} == wanted


def test_systemd_refuses_the_whole_file_for_a_noncharacter(lab: Lab) -> None:
    # This is why env_file refuses them, by the variable's name.
    lab.run("web1", "tee", PATH, input='A="good"\nB="\ufdd0"\n')
    run = ["systemd-run", "--quiet", "--pipe", "--wait", f"--property=EnvironmentFile={PATH}"]
    done = lab.run("web1", *run, "/usr/bin/env")
    assert done.returncode != 0
    assert "A=good" not in done.stdout
