"""Where a bundle is: a path or a URL, in a playbook and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipit.errors import InputError
from shipit.playbook import reader
from shipit.playbook.parsers import InvalidValueError
from shipit.playbook.project import pinned
from shipit.secrets import SecretUrl

TOKEN = "tok-deadbeefdeadbeef"
SIGNED = f"https://store.example.com/x.shipit?X-Amz-Signature={TOKEN}"


def playbook(folder: Path, bundle: str) -> Path:
    path = folder / "playbook.yaml"
    rest = "services: {web: {command: serve}}\n"
    path.write_text(f"app: demoapp\nhosts: web\nbundle: {bundle}\n{rest}")
    return path


def mistakes(folder: Path, bundle: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        reader.read(playbook(folder, bundle))
    return [f"{each.what} {each.hint}" for each in caught.value.mistakes]


@pytest.mark.parametrize(
    ("bundle", "digest"),
    [
        (f'"{SIGNED}"', ""),
        (f'"{SIGNED}#sha256={"a" * 64}"', "a" * 64),
        (f'{{url: "{SIGNED}", sha256: "{"a" * 64}"}}', "a" * 64),
    ],
)
def test_a_url_is_known_by_its_scheme(tmp_path: Path, bundle: str, digest: str) -> None:
    (draft,) = reader.read(playbook(tmp_path, bundle))
    found = reader.typed(draft, draft.values).bundle
    assert found is not None
    assert (found.url, found.path, found.sha256) == (SecretUrl(SIGNED), None, digest)
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    "bundle",
    [
        f'"ht!tp://store.example.com/x?{TOKEN}"',
        f'"https://store.example.com:port/x?{TOKEN}"',
        f'"https:///x?{TOKEN}"',
        f'"file:///srv/x?{TOKEN}"',
        f'"s3://a b/x?{TOKEN}"',
        f'"zip://x::s3://a/x?{TOKEN}"',
        f'"s3://a/x::file:///srv/x?{TOKEN}"',
        f'"reference://x/y?{TOKEN}"',
        f'"s3://a/x?{TOKEN}#sha256=1"',
    ],
)
def test_one_that_is_none_is_not_repeated(tmp_path: Path, bundle: str) -> None:
    (found,) = mistakes(tmp_path, bundle)
    assert TOKEN not in found
    with pytest.raises(InvalidValueError) as caught:
        pinned(bundle.strip('"'))
    assert TOKEN not in f"{caught.value} {caught.value.value}"


@pytest.mark.parametrize("pin", ["#md5=1", "#sha256:{}", "#SHA256={}", "#{}", "#"])
def test_a_pin_of_a_url_that_is_mistyped_is_refused(tmp_path: Path, pin: str) -> None:
    url = SIGNED + pin.format("a" * 64)
    expected = "expected a URL without a fragment; write the digest as #sha256=DIGEST"
    with pytest.raises(InvalidValueError, match=expected) as caught:
        pinned(url)
    assert TOKEN not in str(caught.value.value)
    (found,) = mistakes(tmp_path, f'"{url}"')
    assert (expected in found, TOKEN in found) == (True, False)


def test_a_pin_in_the_key_of_the_url_is_refused(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, f'{{url: "{SIGNED}#sha256={"a" * 64}"}}')
    assert "expected a URL without a fragment" in found
    assert "or as the key sha256" in found


@pytest.mark.parametrize("where", [SIGNED, "x.shipit"])
def test_a_pin_without_a_digest_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "x.shipit").touch()
    with pytest.raises(InvalidValueError, match="a sha256 of 64 hexadecimal digits"):
        pinned(f"{where}#sha256=")
    (found,) = mistakes(tmp_path, f'"{where}#sha256="')
    assert "a sha256 of 64 hexadecimal digits" in found


def test_the_path_of_a_file_may_have_a_number_sign() -> None:
    assert pinned("x#1.shipit").path == Path("x#1.shipit")


def test_a_template_in_it_is_rendered_first(tmp_path: Path) -> None:
    (draft,) = reader.read(playbook(tmp_path, '"{{ scheme }}://store/x?{{ token }}"'))
    assert reader.typed(draft, {**draft.values, "bundle": "s3://store/x"}).bundle


@pytest.mark.parametrize(
    ("bundle", "what"),
    [
        ('{path: x.shipit, url: "s3://a/x"}', "a bundle has a `path` or a `url`, not both"),
        ("{}", "the key 'path' or 'url' is missing in bundle"),
    ],
)
def test_a_bundle_is_in_one_place(tmp_path: Path, bundle: str, what: str) -> None:
    (tmp_path / "x.shipit").touch()
    (found,) = mistakes(tmp_path, bundle)
    assert found.startswith(what)


def test_the_command_line_takes_both() -> None:
    assert pinned(f"x.shipit#sha256={'a' * 64}").path == Path("x.shipit")
    named = pinned(f"{SIGNED}#sha256={'a' * 64}")
    assert (named.url, named.path, named.sha256) == (SecretUrl(SIGNED), None, "a" * 64)
    assert hash(named) == hash(pinned(f"{SIGNED}#sha256={'a' * 64}")), "it is read once"
