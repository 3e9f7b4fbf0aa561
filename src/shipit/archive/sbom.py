"""The software bill of materials of a bundle, in CycloneDX 1.6 (ECMA-424)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from shipit.archive.manifest import Artifact, Manifest


def text_of(manifest: Manifest, time: int) -> str:
    """Return the bill of a bundle: the app, and every wheel and Python that some host gets.

    Args:
        manifest: of the bundle.
        time: of the source's revision, in seconds since 1970: the same bundle has the same bill.
    """
    app = manifest.artifacts[manifest.app]
    others = [each for each in manifest.artifacts.values() if each != app]
    main = _component(app, ComponentType.APPLICATION)
    wheels = [
        _python(each) if each.python else _component(each, ComponentType.LIBRARY) for each in others
    ]
    digests = " ".join(sorted(manifest.artifacts))
    bill = Bom(components=wheels, serial_number=uuid5(NAMESPACE_URL, f"shipit:{digests}"))
    bill.metadata.component = main
    bill.metadata.timestamp = datetime.fromtimestamp(time, UTC)
    bill.register_dependency(main, wheels)
    return JsonV1Dot6(bill).output_as_string(indent=1) + "\n"


def _component(artifact: Artifact, kind: ComponentType) -> Component:
    name, number, _, _ = parse_wheel_filename(artifact.filename)
    version = str(number)
    purl = PackageURL("pypi", None, name, version, {"file_name": artifact.filename})
    return _hashed(artifact, kind, name, purl)


def _python(artifact: Artifact) -> Component:
    qualifiers = {"file_name": artifact.filename}
    purl = PackageURL("generic", None, "cpython", artifact.python, qualifiers)
    return _hashed(artifact, ComponentType.PLATFORM, "cpython", purl)


def _hashed(artifact: Artifact, kind: ComponentType, name: str, purl: PackageURL) -> Component:
    return Component(
        type=kind,
        name=name,
        version=purl.version,
        purl=purl,
        bom_ref=artifact.sha256,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=artifact.sha256)],
    )
