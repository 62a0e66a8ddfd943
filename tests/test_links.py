"""Links to the instances' pages: right for a browser on this machine, in a JupyterHub, and on Binder."""

from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import faafo_lab
from faafo_lab import links
from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.addresses import public_block
from faafo_lab.links import allowed, link, page
from faafo_lab.paths import embedded_state_dir
from faafo_lab.workbook import own_home

HUB = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada%40example.org/"}


@pytest.fixture(autouse=True)
def browser_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in links.PREFIX_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_browser_on_this_machine_goes_to_the_address_itself() -> None:
    assert link("http://127.9.2.5:8080", {}) == "http://127.9.2.5:8080/"
    assert link("http://127.9.2.5/index/2?a=b#c", {}) == "http://127.9.2.5/index/2?a=b#c"


def test_a_browser_elsewhere_goes_through_jupyters_server() -> None:
    assert link("http://127.9.2.5:8080", HUB) == "/user/ada%40example.org/proxy/127.9.2.5:8080/"
    assert link("http://127.9.2.5/index/2?a=b#c", HUB) == "/user/ada%40example.org/proxy/127.9.2.5:80/index/2?a=b#c"


@pytest.mark.parametrize(("prefix", "base"), [("/", ""), ("/lab", "/lab"), ("lab/a/", "/lab/a")])
def test_the_prefix_that_is_told_wins_over_the_hubs(prefix: str, base: str) -> None:
    assert link("http://127.9.2.5//x", {**HUB, "FAAFO_LAB_PROXY": prefix}) == f"{base}/proxy/127.9.2.5:80//x"


@pytest.mark.parametrize("url", ["http://203.0.113.7/", "https://127.9.2.5/", "http://faafo.example:8080/a"])
def test_what_jupyters_server_need_not_or_cannot_fetch_stays_as_it_is(url: str) -> None:
    assert link(url, HUB) == url


@pytest.mark.parametrize(
    "url", ["", "127.9.2.5", "ftp://127.9.2.5", "http://", "http://127.9.2.5:http", "javascript:1"]
)
def test_what_is_no_web_address_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="is not a web page's address") as caught:
        page(url)
    assert repr(url) in str(caught.value)


def test_a_page_is_a_link_in_a_notebook_and_its_address_as_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = page('http://127.9.2.5:8080/?a="b"&c', "Fractals <1>")
    assert shown._repr_html_() == (
        '<a href="http://127.9.2.5:8080/?a=&quot;b&quot;&amp;c" target="_blank" rel="noopener">Fractals &lt;1&gt;</a>'
    )
    assert repr(page("http://127.9.2.5:8080")) == "http://127.9.2.5:8080/"
    monkeypatch.setenv("FAAFO_LAB_PROXY", "/")
    assert repr(page("http://127.9.2.5:8080")) == "http://127.9.2.5:8080/: /proxy/127.9.2.5:8080/"


def test_jupyters_server_fetches_from_this_labs_floating_addresses_alone() -> None:
    with own_home(FAAFO_LAB_CLOUD="embedded"):
        assert not allowed(None, "127.0.0.1")  # no cloud yet, so no address
        own = urlsplit(control.start(embedded_state_dir()).auth_url).hostname or ""
        cloud = faafo_lab.connect()
        block = public_block(own)
        assert IPv4Address(cloud.create_floating_ip().address) in block
        assert all(allowed(None, str(block[index])) for index in (1, 7, -1))
        others = (own, str(block[0] - 1), str(block[-1] + 1), "10.0.0.1", "127.1", "::1")
        assert [host for host in (*others, "127.0.0.1", "localhost", "example.org", "") if allowed(None, host)] == []


def test_a_broken_clouds_yaml_allows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAAFO_LAB_HOME", str(tmp_path))
    file = embedded_state_dir() / "clouds.yaml"
    file.parent.mkdir()
    for text in ("", "[", "clouds: 3", "clouds: {embedded: {auth: {auth_url: 'http://'}}}"):
        file.write_text(text)
        assert not allowed(None, "127.9.2.5")
