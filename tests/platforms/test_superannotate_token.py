"""Where the token comes from, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from alcli.errors import AuthError, UsageError
from alcli.platforms._answers import retry_after
from alcli.platforms._superannotate_options import PUBLIC_URL, SuperannotateOptions, is_public
from alcli.platforms._superannotate_token import find_credentials, normalize_url

TOKEN = "Secret.token_of_file=42"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token in a file of its own, private."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    """A home with the SDK's own configuration."""
    path = tmp_path / ".superannotate" / "config.ini"
    path.parent.mkdir()
    path.write_text(f"[DEFAULT]\nSA_TOKEN = {TOKEN}\nSA_URL = https://sa.example.com/\n")
    path.chmod(0o600)
    return path


def test_the_environment_wins_over_the_file_and_the_file_over_the_sdks_configuration(file, ini, tmp_path):
    options = SuperannotateOptions(token_file=file)
    assert (
        find_credentials(options, {"SA_TOKEN": "From.environment=1"}, tmp_path).source == "SA_TOKEN in the environment"
    )
    assert find_credentials(options, {}, tmp_path).source == str(file)
    credentials = find_credentials(SuperannotateOptions(), {}, tmp_path)
    assert (credentials.source, credentials.token, credentials.url) == (str(ini), TOKEN, "https://sa.example.com")


@pytest.mark.parametrize("given", ["https://evil.example.com", "https://sa.example.com:8443", PUBLIC_URL])
def test_the_token_of_the_sdks_configuration_goes_only_to_the_host_that_it_names(ini, tmp_path, given):
    for options, environ in ((SuperannotateOptions(url=given), {}), (SuperannotateOptions(), {"SA_URL": given})):
        with pytest.raises(AuthError, match=r"is for https://sa\.example\.com/; it is not sent to") as caught:
            find_credentials(options, environ, tmp_path)
        assert "SA_TOKEN" in caught.value.do and "--token-file" in caught.value.do
    same = find_credentials(SuperannotateOptions(url="https://sa.example.com/api"), {}, tmp_path)
    assert (same.token, same.url) == (TOKEN, "https://sa.example.com/api")


def test_a_configuration_without_an_address_is_for_the_public_service(ini, tmp_path):
    ini.write_text(f"[DEFAULT]\nSA_TOKEN = {TOKEN}\n")
    with pytest.raises(AuthError, match=f"is for {PUBLIC_URL}"):
        find_credentials(SuperannotateOptions(), {"SA_URL": "https://sa.example.com"}, tmp_path)
    assert find_credentials(SuperannotateOptions(), {}, tmp_path).url == PUBLIC_URL


def test_a_user_without_a_home_is_told_where_a_token_can_be(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(AuthError, match="no SuperAnnotate token"):
        find_credentials(SuperannotateOptions(), {})
    assert find_credentials(SuperannotateOptions(), {"SA_TOKEN": TOKEN}).token == TOKEN


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://api.superannotate.com", True), ("https://superannotate.com:443/x", True),
        ("http://api.superannotate.com", False), ("https://api.superannotate.com:8443", False),
        ("https://evilsuperannotate.com", False), ("https://api.superannotate.com.example.com", False),
        ("https://api.superannotate.com@example.com", False), ("https://example.com\\.superannotate.com", False),
        ("https://example.com#.superannotate.com", False), ("https://example.com?.superannotate.com", False),
        ("https://api.superannotate.com:443@example.com/", False), ("https://[", False), ("", False),
    ],
)  # fmt: skip
def test_only_hosts_of_superannotate_are_its_own(url, public):
    assert is_public(url) is public


def test_a_file_that_others_can_read_is_refused_with_the_line_that_mends_it(file, tmp_path):
    file.chmod(0o644)
    with pytest.raises(AuthError) as caught:
        find_credentials(SuperannotateOptions(token_file=file), {}, tmp_path)
    assert caught.value.do == f"chmod 600 {file}" and TOKEN not in str(caught.value.parts())


@pytest.mark.parametrize("text", ["abc", "two lines\n=5", "x" * 31, "", "token with spaces=5"])
def test_what_cannot_be_a_token_is_refused_without_being_shown(file, tmp_path, text):
    file.write_text(text)
    with pytest.raises(AuthError, match="does not look like a SuperAnnotate token") as caught:
        find_credentials(SuperannotateOptions(token_file=file), {}, tmp_path)
    assert str(file) in caught.value.what and (not text or text not in caught.value.what)


def test_no_token_at_all_says_where_one_can_stand(tmp_path):
    with pytest.raises(AuthError, match="no SuperAnnotate token") as caught:
        find_credentials(SuperannotateOptions(), {}, tmp_path)
    assert "SA_TOKEN" in caught.value.do and "--token-file" in caught.value.do


def test_a_missing_file_and_a_broken_ini_are_named(ini, tmp_path):
    with pytest.raises(AuthError, match="cannot be read: No such file"):
        find_credentials(SuperannotateOptions(token_file=tmp_path / "none"), {}, tmp_path)
    ini.write_text(TOKEN)
    with pytest.raises(AuthError, match="not an INI file") as caught:
        find_credentials(SuperannotateOptions(), {}, tmp_path)
    assert TOKEN not in str(caught.value.parts())


def test_a_token_is_not_part_of_what_credentials_show(file, tmp_path):
    assert TOKEN not in repr(find_credentials(SuperannotateOptions(token_file=file), {}, tmp_path))


@pytest.mark.parametrize("url", [PUBLIC_URL, PUBLIC_URL + "/", f"  {PUBLIC_URL}//  "])
def test_a_trailing_slash_does_not_make_another_service(url):
    assert normalize_url(url) == PUBLIC_URL


@pytest.mark.parametrize(
    "url", ["http://example.com", "ftp://127.0.0.1", "example.com", "https://user:pass@example.com", "https://x.io?a=b"]
)
def test_an_address_that_would_betray_the_token_is_refused(url):
    with pytest.raises(UsageError):
        normalize_url(url)


def test_plain_http_is_for_this_machine_only():
    assert normalize_url("http://127.0.0.1:8080/") == "http://127.0.0.1:8080"


def test_retry_after_is_seconds_or_a_date():
    assert retry_after("7") == 7.0
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert retry_after(None) is None and retry_after("soon") is None
