"""What was built on this machine goes only to hosts that it runs on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shipit.errors import InputError, Place
from shipit.project.building.fitting import Part, fitting
from wheelhouse import BOOKWORM


@pytest.mark.parametrize(
    ("tag", "libc", "here", "refused"),
    [
        ("cp311-cp311-linux_x86_64", ("glibc", 2, 36), "2.36", ""),
        ("cp311-cp311-linux_x86_64", ("glibc", 2, 31), "2.36", "libc-too-new"),
        ("cp311-cp311-linux_x86_64", ("musl", 1, 2), "2.36", "libc-too-new"),
        ("cp311-cp311-linux_aarch64", ("glibc", 2, 36), "2.36", "wrong-platform"),
        ("cp313-cp313-linux_x86_64", ("glibc", 2, 36), "2.36", "wrong-python"),
        ("cp311-cp311-manylinux_2_17_x86_64", ("glibc", 2, 31), "2.36", ""),
        ("py3-none-any", ("musl", 1, 2), "2.36", ""),
    ],
)
def test_what_is_compiled_here_has_to_run_there(
    tag: str, libc: tuple[str, int, int], here: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", here))
    part = Part("fast", "fast==1", Place("uv.lock", 1))
    wheel, target = Path(f"fast-1-{tag}.whl"), replace(BOOKWORM, libc=libc)
    if not refused:
        assert fitting(wheel, part, target) == wheel
        return
    with pytest.raises(InputError, match="fast==1 has compiled parts") as caught:
        fitting(wheel, part, target)
    assert caught.value.mistakes[0].code == refused
