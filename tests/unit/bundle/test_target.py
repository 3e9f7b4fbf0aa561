"""Which wheels run on a host, from its facts alone."""

import platform
import sys
from dataclasses import replace

import pytest
from packaging.markers import default_environment
from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag, sys_tags

from shipit.bundle.target import Target
from wheelhouse import BOOKWORM


def this_machine() -> Target:
    libc, version = platform.libc_ver()
    major, minor = (int(part) for part in version.split("."))
    return Target(
        python=sys.version_info[:2],
        implementation=sys.implementation.name,
        machine=platform.machine(),
        libc=(libc, major, minor),
        full_version=platform.python_version(),
    )


def runs(target: Target, tag: str) -> bool:
    return not parse_tag(tag).isdisjoint(target.tags())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs a Linux with glibc")
def test_the_tags_of_this_machine_are_those_that_installers_compute_on_it() -> None:
    assert list(dict.fromkeys(this_machine().tags())) == list(dict.fromkeys(sys_tags()))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs a Linux with glibc")
def test_the_markers_of_this_machine_are_those_that_installers_compute_on_it() -> None:
    expected = {**default_environment(), "platform_release": "", "platform_version": ""}
    assert this_machine().markers() == expected


@pytest.mark.parametrize(
    "tag",
    [
        "py3-none-any",
        "cp311-cp311-manylinux_2_36_x86_64",
        "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
        "cp311-cp311-manylinux1_x86_64",
        "cp38-abi3-manylinux_2_28_x86_64",
        "py3-none-linux_x86_64",
    ],
)
def test_wheels_for_this_kind_of_host_run(tag: str) -> None:
    assert runs(BOOKWORM, tag)


@pytest.mark.parametrize(
    ("tag", "code", "reason"),
    [
        ("cp312-cp312-manylinux_2_17_x86_64", "wrong-python", "another Python (cp312-cp312)"),
        ("cp312-abi3-manylinux_2_17_x86_64", "wrong-python", "another Python (cp312-abi3)"),
        ("py2-none-any", "wrong-python", "another Python (py2-none)"),
        ("cp311-cp311-manylinux_2_38_x86_64", "libc-too-new", "needs glibc 2.38"),
        ("cp311-cp311-manylinux_2_38_aarch64", "wrong-platform", "manylinux_2_38_aarch64"),
        ("cp311-cp311-musllinux_1_2_x86_64", "wrong-platform", "musllinux_1_2_x86_64"),
        ("cp311-cp311-macosx_11_0_arm64", "wrong-platform", "macosx_11_0_arm64"),
        ("cp311-cp311-win_amd64", "wrong-platform", "win_amd64"),
    ],
)
def test_a_wheel_for_another_host_is_refused_with_the_reason(
    tag: str, code: str, reason: str
) -> None:
    assert not runs(BOOKWORM, tag)
    found, text = BOOKWORM.misfit(parse_tag(tag))
    assert (found, reason in text) == (code, True)


def test_a_host_with_musl_takes_musl_wheels_only() -> None:
    alpine = replace(BOOKWORM, libc=("musl", 1, 2))
    assert runs(alpine, "cp311-cp311-musllinux_1_1_x86_64")
    assert not runs(alpine, "cp311-cp311-manylinux_2_17_x86_64")
    assert alpine.misfit(parse_tag("cp311-cp311-musllinux_1_3_x86_64"))[0] == "libc-too-new"


def test_the_old_names_of_manylinux_are_for_old_processors_only() -> None:
    arm = replace(BOOKWORM, machine="aarch64")
    assert runs(arm, "cp311-cp311-manylinux2014_aarch64")
    assert not runs(arm, "cp311-cp311-manylinux2010_aarch64")


def test_an_interpreter_from_a_branch_counts_as_its_version() -> None:
    assert replace(BOOKWORM, full_version="3.11.2+").fits(SpecifierSet(">=3.11,<3.12"))


def test_a_release_candidate_of_python_counts_as_a_python() -> None:
    target = replace(BOOKWORM, python=(3, 14), full_version="3.14.0rc2")
    assert target.fits(">=3.11")
    assert not target.fits(SpecifierSet("<3.14"))


def test_the_command_that_fetches_wheels_names_the_target() -> None:
    command = BOOKWORM.pip_download("wheels", "a==1", "b==2")
    assert "--python-version 3.11" in command
    assert "--platform manylinux_2_34_x86_64" in command
    assert "manylinux_2_39" not in command
    assert command.endswith("-d wheels a==1 b==2")
