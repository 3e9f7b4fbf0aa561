"""Parse paths (on this machine and on hosts), addresses and URLs of a playbook.

Pure, except for checking whether local files exist. Raises `parsers.InvalidValueError`.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, urlsplit

from shipit.playbook.parsers import InvalidValueError, has_control, is_template
from shipit.secrets import SecretUrl
from shipit.servers.argv import BROUGHT

# Directories that an app may lie below, but never be.
SHARED_DIRECTORIES = ("/", "/opt", "/srv", "/home", "/var", "/var/lib", "/mnt", "/usr/local")
# Directories that belong to the system, with all that is below them.
SYSTEM_DIRECTORIES = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found"),
    *("/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var/lib/shipit", "/var/run"),  # noqa: S108 - refused
    *("/var/tmp", "/var/log", "/var/cache"),  # noqa: S108 - refused
)

SHARED = "shared"  # below an app's root: what survives releases
_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/+-]*")  # means the same in units, shells and JSON
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\x00-\x1f\x7f]+")
_WITHOUT_FRAGMENT = (
    "a URL without a fragment; write the digest as #sha256=DIGEST, or as the key sha256"
)
_PATTERN = re.compile(r"[*?\[]")
_SHOWN = 4  # of the files that match a pattern
_HIGHEST_PORT = 65535


def root(value: object) -> str:
    """An app's root: its own absolute path, in characters that need no quoting anywhere."""
    if not isinstance(value, str) or not _PLAIN_PATH.fullmatch(value):
        raise InvalidValueError("an absolute path of letters, digits and . _ + - /", value)
    parts = PurePosixPath(value).parts[1:]
    plain = "/" + "/".join(parts)
    if ".." in parts or plain in SHARED_DIRECTORIES:
        raise InvalidValueError("a directory of the app's own, such as /opt/demoapp", value)
    is_of_system = any(f"{plain}/".startswith(f"{top}/") for top in SYSTEM_DIRECTORIES)
    if is_of_system and not plain.startswith("/usr/local/"):
        raise InvalidValueError("a directory that isn't the system's, such as /opt/demoapp", value)
    return plain


def destination(value: object) -> str:
    """A path below the release's files/."""
    parts = value.split("/") if isinstance(value, str) else []
    if not parts or has_control(str(value)) or any(part in ("", ".", "..") for part in parts):
        raise InvalidValueError("a relative path without . or .. in it", value)
    if parts[0] == BROUGHT:
        raise InvalidValueError(f"another folder: {BROUGHT} has what `serve:` brings along", value)
    return "/".join(parts)


def assets_folder(value: object) -> str:
    """A folder of the working directory, or PACKAGE:FOLDER for one in a package."""
    package, colon, folder = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    parts = folder.rstrip("/").split("/")
    is_plain = not has_control(folder) and not any(part in ("", ".", "..") for part in parts)
    if not is_plain or (colon and not _PACKAGE.fullmatch(package)):
        expected = "a folder without . or .. in it, or PACKAGE:FOLDER such as demoapp:static"
        raise InvalidValueError(expected, value)
    return f"{package}{colon}{'/'.join(parts)}"


def work_directory(value: object) -> str:
    """A directory on the host, or one relative to the app's root: shared, shared/web."""
    if isinstance(value, str) and value and _PLAIN_PATH.fullmatch("/" + value):
        parts = value.split("/")
        if parts[0] in ("", SHARED) and ".." not in parts:
            return value.rstrip("/") or "/"
    expected = "an absolute path on the host, `shared`, or a path below it such as shared/web"
    raise InvalidValueError(expected, value)


def local_file(value: object, folder: Path, *, must_exist: bool) -> Path:
    """A file on this machine, relative to the playbook's folder."""
    return _local(value, folder, "file", must_exist=must_exist)


def local_folder(value: object, folder: Path, *, must_exist: bool) -> Path:
    return _local(value, folder, "folder", must_exist=must_exist)


def the_one_file(value: object, folder: Path, *, must_exist: bool) -> Path:
    """A file on this machine, or a pattern that exactly one file matches."""
    path = local_file(value, folder, must_exist=False)
    try:
        return local_file(value, folder, must_exist=must_exist)
    except InvalidValueError:
        if not _PATTERN.search(path.name):
            raise
    found = sorted(each for each in path.parent.glob(path.name) if each.is_file())
    if len(found) == 1:
        return found[0]
    names = [each.name for each in found]
    found_names = f"{len(found)} match: {', '.join(names[:_SHOWN])}" if found else "none matches"
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise InvalidValueError(f"a pattern that exactly one file matches ({found_names}{more})", value)


def _local(value: object, folder: Path, kind: str, *, must_exist: bool) -> Path:
    if not isinstance(value, str) or not value.strip() or has_control(value):
        raise InvalidValueError(f"the path of a {kind}, relative to the playbook", value)
    try:
        path = folder / Path(value).expanduser()
        is_there = not must_exist or (path.is_dir() if kind == "folder" else path.is_file())
    except RuntimeError as error:
        raise InvalidValueError("a path whose ~ is a known user", value) from error
    except OSError as error:  # a name that is too long for any file system
        expected = f"a path that can be looked up ({error.strerror})"
        raise InvalidValueError(expected, value) from error
    if not is_there:
        raise InvalidValueError(f"a {kind} that exists (looked for {path})", value)
    return path


def socket_address(value: object) -> str:
    """What a socket unit listens to: a port, IP:port, [IPv6]:port or an absolute path."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        if _PLAIN_PATH.fullmatch(value) and not value.endswith("/"):
            return value
        host, colon, port = value.rpartition(":")
        if host == "localhost" and _is_port(port):
            raise InvalidValueError("an IP address: 127.0.0.1 or [::1] instead of localhost", value)
        if _is_port(port) and (not colon or _is_ip(host)):
            return value
    expected = "a port, an IP address and port, [IPv6]:port, or an absolute path"
    raise InvalidValueError(expected, value)


def _is_ip(host: str) -> bool:
    version, bare = (6, host[1:-1]) if host[:1] + host[-1:] == "[]" else (4, host)
    try:
        return ipaddress.ip_address(bare).version == version
    except ValueError:
        return False


def _is_port(port: str) -> bool:
    return port.isdecimal() and port.isascii() and 0 < int(port) <= _HIGHEST_PORT


def tcp_address(value: object) -> str:
    """What a TCP check connects to; a bare port is one of the host itself."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not _is_port(port) or (colon and not host) or has_control(host) or " " in host:
        raise InvalidValueError("host:port, or a port of the host itself", value)
    return f"{host or '127.0.0.1'}:{port}"


def unix_address(value: object) -> str:
    """What a check of a unix socket connects to, and which page it requests there, if any."""
    path, colon, page = value.partition(":") if isinstance(value, str) else ("", "", "")
    is_socket = _PLAIN_PATH.fullmatch(path) and not path.endswith("/")
    is_page = page.startswith("/") and " " not in page and not has_control(page)
    if not isinstance(value, str) or not is_socket or (colon and not is_page):
        raise InvalidValueError("the absolute path of a unix socket, or such a path:/page", value)
    return value


def bundle_url(value: object) -> SecretUrl:
    """Where a bundle can be fetched; an error never shows it."""
    if isinstance(value, str) and "#" in value and not is_template(value):
        raise InvalidValueError(_WITHOUT_FRAGMENT, "something else")
    found = SecretUrl(value) if isinstance(value, str) and _URL.fullmatch(value) else None
    with suppress(ValueError):  # the port is no number, or the brackets are no IPv6 address
        parts = urlsplit(found.reveal()) if found else None
        if found and parts and _is_store(parts):
            return found
    unread = value if is_template(value) else "something else"
    raise InvalidValueError("a URL such as s3://bucket/demoapp.shipit or https://...", unread)


def _is_store(parts: SplitResult) -> bool:
    """Whether a URL is of one place, not of a file here or of fsspec's chains (a::b)."""
    is_chain = "::" in parts.path or parts.netloc.endswith(":")
    is_place = bool(parts.netloc) and parts.port != 0
    return is_place and not is_chain and parts.scheme not in ("file", "local", "reference")


def url(value: object) -> str:
    if isinstance(value, str) and " " not in value and not has_control(value):
        with suppress(ValueError):  # the port is no number, or the brackets are no IPv6 address
            parts = urlsplit(value)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return value
    raise InvalidValueError("a URL such as http://127.0.0.1:8000/healthz", value)
