"""Objects of the stores that fsspec knows: s3://, gs://, az:// and others. The owner of fsspec.

Credentials, regions and endpoints are taken as fsspec and the clouds' own tools take them, from the
environment, profiles and the machine's role. fsspec is an optional extra, and the package of each
store is installed by the user.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shipit.secrets import SecretUrl

# The package that a user installs for a scheme.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    "oci": "ocifs",
}


def download(url: SecretUrl, to: Path, report: Callable[[int, int], None]) -> None:
    """Write an object to a file; a store's own errors are raised as they are.

    Raises:
        InputError: store-package-missing.
    """
    from fsspec.callbacks import Callback  # noqa: PLC0415 - an optional extra, after _opened

    store, path = _opened(url)

    def hook(size: int | None, value: int, **_: object) -> None:
        report(value, size or 0)

    store.get_file(path, str(to), callback=Callback(hooks={"report": hook}))


def signed(url: SecretUrl, seconds: int) -> str:
    """Return an https URL by which anybody can read an object for some time.

    Raises:
        InputError: store-package-missing.
        NotImplementedError: the store has no such URLs.
    """
    store, path = _opened(url)
    return str(store.sign(path, expiration=seconds))


@cache  # making a client takes longer than signing a URL for a host
def _opened(url: SecretUrl) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it."""
    scheme = url.reveal().partition("://")[0]
    try:
        core = importlib.import_module("fsspec.core")
        store, path = core.url_to_fs(url.reveal())
    except ImportError as error:
        package = _PACKAGES.get(scheme, "")
        what = f"{scheme}:// needs a package that is not installed: {package or error}"
        hint = f"pip install 'shipit[remote]' {package}".rstrip()
        mistake = Mistake("store-package-missing", what, Place(str(url)), hint)
        raise InputError(mistake) from error
    settings = getattr(store, "config_kwargs", None)  # of s3fs
    if isinstance(settings, dict):  # an older signature is refused for newer buckets
        settings.setdefault("signature_version", "s3v4")
    return store, path
