"""Who may do what in Swift beside the owner: access lists, and temporary URLs."""

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from . import swift
from .conftest import Api
from .swift import Container

box, other_box = swift.box, swift.other_box

KEY = "secret key"


def nobody(api: Api, method: str, path: str, **headers: str) -> httpx.Response:
    return api(method, path, headers={"X-Auth-Token": "", **headers})


def test_without_a_list_only_the_owner_gets_in(api: Api, alt: Api, box: Container) -> None:
    box.put("x", b"data")
    for path in (box.account, box.path, f"{box.path}/x", f"{box.path}/missing", f"{box.account}/missing"):
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            if path == box.account and method == "PUT":
                continue
            refused = nobody(api, method, path)
            assert refused.status_code == 401, (method, path)
            assert refused.headers["WWW-Authenticate"].startswith("Swift realm=")
            assert api(method, path, headers={"X-Auth-Token": "wrong"}).status_code == 401
            assert alt(method, path).status_code == 403, (method, path)
    assert alt("COPY", f"{box.path}/x", headers={"Destination": "a/b"}).status_code == 403
    assert box("GET", "x").content == b"data"


def test_a_public_container_is_read_by_anybody(api: Api, box: Container) -> None:
    box.put("x", b"data")
    assert box("POST", headers={"X-Container-Read": ".r: * ,"}).status_code == 204
    assert box("HEAD").headers["X-Container-Read"] == ".r:*"
    assert nobody(api, "GET", f"{box.path}/x").content == b"data"
    assert api("GET", f"{box.path}/x", headers={"X-Auth-Token": "wrong"}).content == b"data"
    assert nobody(api, "GET", box.path).status_code == 401
    box("POST", headers={"X-Container-Read": ".r:*,.rlistings"})
    listing = nobody(api, "GET", box.path)
    assert listing.text == "x\n"
    assert "X-Container-Read" not in listing.headers
    for method in ("PUT", "POST", "DELETE"):
        assert nobody(api, method, f"{box.path}/x").status_code == 401
    box("POST", headers={"X-Container-Read": ".r:*,.r:-.evil.org,.r:-bad.org"})
    for page, status in (("http://good.org/x", 200), ("http://www.evil.org/", 401), ("http://bad.org:80/y", 401)):
        assert nobody(api, "GET", f"{box.path}/x", Referer=page).status_code == status
    box("POST", headers={"X-Remove-Container-Read": "x"})
    assert nobody(api, "GET", f"{box.path}/x").status_code == 401


@pytest.mark.parametrize(
    "who", ["{project}:{user}", "alt:alt", "*:{user}", "{project}:*", "*:*", "x:y,alt:alt", "member"]
)
def test_a_user_of_another_project_is_let_in_by_id_or_name(alt: Api, box: Container, who: str) -> None:
    box.put("x", b"data")
    acl = who.format(project=alt.project, user=alt.user)
    box("POST", headers={"X-Container-Read": acl})
    assert alt("GET", f"{box.path}/x").content == b"data"
    assert alt("GET", box.path).text == "x\n"
    assert alt("PUT", f"{box.path}/y", content=b"").status_code == 403
    box("POST", headers={"X-Remove-Container-Read": "x", "X-Container-Write": acl})
    assert alt("PUT", f"{box.path}/y", content=b"of alt").status_code == 201
    assert alt("GET", f"{box.path}/y").status_code == 403
    assert box("GET", "y").content == b"of alt"
    assert alt("DELETE", f"{box.path}/y").status_code == 204
    assert alt("POST", box.path).status_code == 403
    assert alt("DELETE", box.path).status_code == 403


@pytest.mark.parametrize("who", ["demo:alt", "alt:demo", "nobody", "alt", ":", "alt:"])
def test_who_is_not_named_is_not_let_in(alt: Api, box: Container, who: str) -> None:
    box.put("x", b"data")
    assert box("POST", headers={"X-Container-Read": who, "X-Container-Write": who}).status_code == 204
    assert alt("GET", f"{box.path}/x").status_code == 403
    assert alt("PUT", f"{box.path}/x", content=b"").status_code == 403


def test_a_copy_needs_both_rights(alt: Api, box: Container, other_box: Container) -> None:
    box.put("x", b"data")
    copy = {"Destination": f"{other_box.name}/x"}
    box("POST", headers={"X-Container-Read": "alt:alt"})
    assert alt("COPY", f"{box.path}/x", headers=copy).status_code == 403
    other_box("POST", headers={"X-Container-Write": "alt:alt"})
    assert alt("COPY", f"{box.path}/x", headers=copy).status_code == 201
    box("POST", headers={"X-Remove-Container-Read": "x"})
    from_there = {"X-Copy-From": f"{box.name}/x"}
    assert alt("PUT", f"{other_box.path}/y", headers=from_there).status_code == 403


# Temporary URLs


def signed(
    box: Container,
    name: str,
    method: str = "GET",
    *,
    digest: str = "sha256",
    seconds: int = 60,
    key: str = KEY,
    **query: str,
) -> str:
    expires = int(time.time()) + seconds
    path = f"prefix:{box.path}/{query['temp_url_prefix']}" if "temp_url_prefix" in query else f"{box.path}/{name}"
    code = hmac.new(key.encode(), f"{method}\n{expires}\n{path}".encode(), digest).hexdigest()
    arguments = urlencode({"temp_url_sig": code, "temp_url_expires": str(expires), **query})
    return f"{box.path}/{quote(name)}?{arguments}"


@pytest.fixture(params=["account", "container"])
def keyed(request: pytest.FixtureRequest, api: Api, box: Container) -> Any:
    path = box.account if request.param == "account" else box.path
    header = f"X-{request.param}-Meta-Temp-URL-Key"
    assert api("POST", path, headers={header: KEY}).status_code == 204
    box.put("dir/ä x.txt", b"data")
    yield box
    api("POST", path, headers={header: ""})


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_a_temporary_url_lets_anybody_do_one_thing(api: Api, keyed: Container, digest: str) -> None:
    name = "dir/ä x.txt"
    url = signed(keyed, name, digest=digest)
    answer = nobody(api, "GET", url)
    assert answer.content == b"data"
    assert answer.headers["Content-Disposition"] == "attachment; filename=\"_ x.txt\"; filename*=UTF-8''%C3%A4%20x.txt"
    assert nobody(api, "GET", url + "&filename=y").headers["Content-Disposition"].startswith('attachment; filename="y"')
    assert nobody(api, "GET", url + "&inline").headers["Content-Disposition"] == "inline"
    assert nobody(api, "HEAD", url).status_code == 200
    for method in ("PUT", "POST", "DELETE"):
        assert nobody(api, method, url).status_code == 401
    other = url.replace(quote(name), "other")
    assert nobody(api, "GET", other).status_code == 401
    upload = signed(keyed, "new", "PUT", digest=digest)
    put = api("PUT", upload, content=b"by url", headers={"X-Auth-Token": ""})
    assert put.status_code == 201
    assert keyed("GET", "new").content == b"by url"
    for header in ("X-Object-Manifest", "X-Copy-From"):
        assert nobody(api, "PUT", upload, **{header: f"{keyed.name}/dir"}).status_code == 400


def test_a_temporary_url_may_be_for_a_prefix_and_until_a_date(api: Api, keyed: Container) -> None:
    url = signed(keyed, "dir/ä x.txt", temp_url_prefix="dir/")
    assert nobody(api, "GET", url).content == b"data"
    keyed.put("elsewhere", b"x")
    assert nobody(api, "GET", url.replace(quote("dir/ä x.txt"), "elsewhere")).status_code == 401
    moment = int(time.time()) + 100
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
    text = f"GET\n{moment}\n{keyed.path}/dir/ä x.txt".encode()
    code = "sha512:" + base64.urlsafe_b64encode(hmac.new(KEY.encode(), text, hashlib.sha512).digest()).decode()
    query = urlencode({"temp_url_sig": code, "temp_url_expires": date})
    assert nobody(api, "GET", f"{keyed.path}/{quote('dir/ä x.txt')}?{query}").content == b"data"


def test_a_temporary_url_that_is_over_or_wrong_is_refused(api: Api, keyed: Container) -> None:
    name = "dir/ä x.txt"
    good = signed(keyed, name)
    for url in (
        signed(keyed, name, seconds=-1),
        signed(keyed, name, key="other"),
        signed(keyed, name, digest="md5"),
        good.replace("temp_url_expires", "expires"),
        good.replace("temp_url_sig", "sig"),
        good + "&temp_url_ip_range=1.2.3.4",
        good.replace("temp_url_sig=", "temp_url_sig=x"),
    ):
        assert nobody(api, "GET", url).status_code == 401, url
    assert keyed("GET", name).content == b"data"


def test_a_container_s_key_opens_nothing_else(api: Api, box: Container, other_box: Container) -> None:
    box("POST", headers={"X-Container-Meta-Temp-URL-Key": KEY})
    other_box.put("x", b"data")
    assert nobody(api, "GET", signed(other_box, "x")).status_code == 401
    box.put("dynamic", **{"X-Object-Manifest": f"{other_box.name}/x"})
    assert nobody(api, "GET", signed(box, "dynamic")).status_code in (401, 403)
