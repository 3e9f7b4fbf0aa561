"""Env files say what was meant; tests/hosts/test_envfile.py asks the real systemd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.agent.records import env_file as agent
from shipit.errors import InputError
from shipit.render.env_file import LONGEST, env_file
from shipit.secrets import Secret

# What systemd can hold: no controls but tab and newline, no surrogates, no noncharacters.
HOLDABLE = st.characters(
    exclude_categories=["Cs", "Cn"],
    exclude_characters="".join(map(chr, [*range(9), *range(11, 32), 127])),
)


def test_special_characters_are_escaped_and_newlines_stand_for_themselves() -> None:
    text = env_file({"A": 'it\'s "x" \\ $HOME `id`\n#;%n ', "B": ""})
    assert text == 'A="it\'s \\"x\\" \\\\ \\$HOME \\`id\\`\n#;%n "\nB=""\n'


def test_a_secret_is_written_unmasked() -> None:
    assert env_file({"TOKEN": Secret("word")}) == 'TOKEN="word"\n'


@given(st.dictionaries(st.from_regex("[A-Z_][A-Z0-9_]*", fullmatch=True), st.text(HOLDABLE)))
def test_the_agent_reads_back_what_was_written(values: dict[str, str]) -> None:
    assert agent.parse(env_file(values)) == values


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a\0b", "holds a control character (U+0000, character 2)"),
        ("a\r\n", "holds a control character (U+000D, character 2)"),
        ("\x1b[0m", "holds a control character (U+001B, character 1)"),
        ("\x7f", "holds a control character (U+007F, character 1)"),
        ("\udc80", "holds a lone surrogate (U+DC80, character 1)"),
        ("\ufdd0", "holds a noncharacter (U+FDD0, character 1)"),
        ("\uffff", "holds a noncharacter (U+FFFF, character 1)"),
        ("\U0010fffe", "holds a noncharacter (U+10FFFE, character 1)"),
    ],
)
def test_a_value_that_systemd_rejects_is_reported_by_name_only(value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        env_file({"GOOD": "x", "BAD": Secret(f"{value}s3ntinel")})
    assert str(caught.value).startswith(f"the environment variable BAD {said}")
    assert "s3ntinel" not in str(caught.value)


def test_a_value_longer_than_the_kernel_passes_on_is_refused() -> None:
    fits = "x" * (LONGEST - len("KEY="))
    assert env_file({"KEY": fits})
    with pytest.raises(InputError, match="has 131072 bytes; Linux takes 131071"):
        env_file({"KEY": f"{fits}x"})


def test_all_bad_variables_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        env_file({"A": "\0", "B C": "x", "D": "\r"})
    assert len(caught.value.mistakes) == 3
