"""The documentation of the playbook is that of the models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import playbook_reference
from project import TOP
from shipit import yaml_source
from shipit.playbook import reader
from shipit.playbook.parsers import written

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = TOP / "docs/playbook.md"


def test_the_document_is_current() -> None:
    hint = "run: python tests/support/playbook_reference.py > docs/playbook.md"
    assert DOCUMENT.read_text(encoding="utf-8") == playbook_reference.markdown(), hint


def test_the_example_in_the_document_is_a_good_playbook(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", playbook_reference.markdown(), re.DOTALL)
    assert found
    path = tmp_path / "playbook.yaml"
    path.write_text(found[1])
    assert [draft.name for draft in reader.read(path, must_exist=())] == ["Ship the demo service"]


def test_examples_are_written_as_yaml_reads_them(tmp_path: Path) -> None:
    for found in reader.schema()["$defs"].values():
        for key, field in found["properties"].items():
            for example in field["examples"]:
                text = f"{key}: {written(example)}\n"
                assert yaml_source.parse(tmp_path / "x.yaml", text).value == {key: example}
