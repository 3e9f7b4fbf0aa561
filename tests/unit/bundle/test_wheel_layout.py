"""Where the entries of a wheel land, and which are not allowed."""

from __future__ import annotations

import stat

import pytest

from shipit.bundle.wheel_layout import Entry, landing, objection

SCRIPTS = "[console_scripts]\ndemo = demo:main\n\n[demo.plugins]\npython = demo:plugin\n"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("demo/__init__.py", "lib/python/site-packages/demo/__init__.py"),
        ("demo-1.data/purelib/demo.py", "lib/python/site-packages/demo.py"),
        ("demo-1.data/scripts/demo", "bin/demo"),
        ("demo-1.data/data/share/man/man1/demo.1", "share/man/man1/demo.1"),
        ("demo-1.data/headers/demo.h", "include/site/demo.h"),
        ("./demo-1.data//data/./bin/demo", "bin/demo"),
        ("other.data/scripts/demo", "bin/demo"),
    ],
)
def test_an_entry_lands_where_its_scheme_says(name: str, place: str) -> None:
    assert landing(name) == place


@pytest.mark.parametrize(
    "name",
    [
        "demo/pyvenv.cfg",
        "demo.pth",
        "bin/python3",  # of site-packages
        "demo-1.data/scripts/demo",
        "demo-1.data/scripts/python-dotenv",
        "demo-1.data/scripts/activate-global-python-argcomplete",
        "demo-1.data/data/share/jupyter/kernels/python3/kernel.json",
        "demo-1.data/data/etc/jupyter/nbconfig/notebook.json",
        "demo-1.data/data/bin/demo",
        "demo-1.data/data/lib/cmake/demo.cmake",
    ],
)
def test_a_wheel_may_have_files_anywhere_else(name: str) -> None:
    assert objection([Entry(name, stat.S_IFREG | 0o755)], SCRIPTS) == ""


@pytest.mark.parametrize(
    "name",
    [
        "demo-1.data/scripts/python",
        "demo-1.data/scripts/python3",
        "demo-1.data/scripts/python3.11",
        "demo-1.data/scripts/python3.13t",
        "demo-1.data/scripts/pypy3.10",
        "demo-1.data/scripts/python3._pth",
        "demo-1.data/scripts/activate",
        "demo-1.data/scripts/activate.fish",
        "demo-1.data/scripts/Activate.ps1",
        "demo-1.data/scripts/activate_this.py",
        "demo-1.data/scripts/python/x",
        "demo-1.data/data/bin/python3",
        "demo-1.data/data/bin/pyvenv.cfg",
        "demo-1.data/data/pyvenv.cfg",
        "./demo-1.data//data/./pyvenv.cfg",
        "demo-1.data/data/lib64/python3.11/site-packages/x.py",
        "demo-1.data/data/lib64",
        "demo-1.data/data/bin",
        "other.data/data/pyvenv.cfg",
    ],
)
def test_a_wheel_may_not_replace_files_of_the_venv(name: str) -> None:
    wrong = objection([Entry("demo.py"), Entry(name)])
    assert repr(name) in wrong
    assert "of the venv" in wrong


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/demo",
        "../demo.py",
        "demo/../../demo.py",
        "demo-1.data/data/../../../etc/demo",
        "demo-1.data/scripts/../../demo",
        "demo/../",
    ],
)
def test_no_entry_leads_out_of_the_venv(name: str) -> None:
    assert objection([Entry(name)]) == f"{name!r} leads out of the venv"


@pytest.mark.parametrize("name", ["demo\\x.py", "demo/\x00.py", "demo/\x1b[2J.py"])
def test_a_name_that_installers_read_differently_is_refused(name: str) -> None:
    assert "read differently" in objection([Entry(name)])


@pytest.mark.parametrize(
    ("kind", "what"), [(stat.S_IFLNK, "is a symlink"), (stat.S_IFIFO, "is neither a file")]
)
def test_an_entry_is_a_file_or_a_folder(kind: int, what: str) -> None:
    assert what in objection([Entry("demo/x", kind | 0o777)])
    assert objection([Entry("demo/", stat.S_IFDIR | 0o755), Entry("demo/x", 0o644)]) == ""


def test_a_duplicate_entry_is_refused() -> None:
    assert objection([Entry("a"), Entry("a")]) == "'a' is in it 2 times"


@pytest.mark.parametrize("group", ["console_scripts", "gui_scripts", " console_scripts "])
@pytest.mark.parametrize("name", ["python", "python3", "activate", "../../etc/demo", "a/../../b"])
def test_generated_scripts_are_checked_too(group: str, name: str) -> None:
    text = f"{SCRIPTS}\n[{group}]\n# python3 = no:script\n{name} = demo:main\n"
    assert f"the script {name!r}" in objection([Entry("demo.py")], text)
