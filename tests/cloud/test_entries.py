"""clouds.yaml as people have it: each entry works through each backend alike, or is refused in one sentence."""

from __future__ import annotations

import copy
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
import yaml

from faafo_lab.cloud import config, connect
from faafo_lab.cloud.base import Cloud
from faafo_lab.cloud.errors import Ambiguous, AuthError, CloudError, ConfigError, NotFound, NotReady, Unreachable
from faafo_lab.cloud.lookup import pick_network
from faafo_lab.cloud.model import Network

from .relays import certificate, relay

Entry = dict[str, Any]


@pytest.fixture
def entry(embedded: Path) -> Entry:
    """The embedded cloud's own entry, as a user would write it."""
    own: Entry = yaml.safe_load((embedded / "clouds.yaml").read_text())["clouds"]["embedded"]
    return {"auth": own["auth"], "region_name": own["region_name"]}


@pytest.fixture
def write(clouds_yaml: Path) -> Callable[[Entry], Path]:
    """Writes the entry `odd`."""

    def write(entry: Entry) -> Path:
        clouds_yaml.write_text("# a comment\n" + yaml.safe_dump({"clouds": {"odd": entry}}))
        return clouds_yaml

    return write


def answers(cloud: Cloud) -> None:
    """The cloud's compute, image and network services are reached, for the right project."""
    assert cloud.images()
    assert cloud.flavors()
    assert {network.name for network in cloud.networks()} == {"private", "public"}
    assert cloud.limits().servers == 3
    assert cloud.servers() == []


def merged(entry: Entry, changes: Entry) -> Entry:
    """A copy of the entry with these settings; those under auth are added there, and None takes one out."""
    changed = copy.deepcopy(entry)
    changed["auth"] |= changes.get("auth", {})
    changed |= {key: value for key, value in changes.items() if key != "auth"}
    changed["auth"] = {key: value for key, value in changed["auth"].items() if value is not None}
    return {key: value for key, value in changed.items() if value is not None}


NO_DOMAINS = dict.fromkeys(("user_domain_id", "user_domain_name", "project_domain_id", "project_domain_name"))
WORKS: dict[str, Entry] = {
    "plain": {},
    "domains by name": {"auth": {**NO_DOMAINS, "user_domain_name": "Default", "project_domain_name": "Default"}},
    "domains by id": {"auth": {**NO_DOMAINS, "user_domain_id": "default", "project_domain_id": "default"}},
    "one domain for both": {"auth": {**NO_DOMAINS, "domain_name": "Default"}},
    "no domains, as the command openstack takes them": {"auth": NO_DOMAINS},
    "a tenant": {"auth": {"tenant_name": "demo", "project_name": None}},
    "no region": {"region_name": None},
    "regions": {"regions": ["RegionOne", "RegionTwo"], "region_name": None},
    "regions with values": {"regions": [{"name": "RegionOne", "values": {"api_timeout": 30}}], "region_name": None},
    "the interface internal": {"interface": "internal"},
    "endpoint_type, its old name": {"endpoint_type": "internalURL"},
    "v3password": {"auth_type": "v3password"},
    "a version": {"identity_api_version": 3, "compute_api_version": "2.1", "volume_api_version": 3},
    "verify: false": {"verify": False},
    "networks": {"networks": [{"name": "public", "routes_externally": True}, {"name": "private"}]},
    "old settings of networks": {"external_network": "public", "internal_network": "private"},
    "an empty section": {"faafo_lab": None, "networks": None, "regions": None},
}


@pytest.mark.parametrize("changes", WORKS.values(), ids=WORKS)
def test_an_entry_as_people_have_it_works(
    entry: Entry, write: Callable[[Entry], Path], backend: str, changes: Entry
) -> None:
    write({**merged(entry, changes), **{key: None for key, value in changes.items() if value is None}})
    answers(connect("odd", backend))


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v3/"])
@pytest.mark.parametrize("auth_type", ["password", "v3password"])
def test_an_auth_url_may_have_its_version_or_not(
    entry: Entry, write: Callable[[Entry], Path], backend: str, end: str, auth_type: str
) -> None:
    url = entry["auth"]["auth_url"].rstrip("/").removesuffix("/v3")
    write(merged(entry, {"auth": {"auth_url": url + end}, "auth_type": auth_type}))
    answers(connect("odd", backend))


@pytest.fixture
def token(entry: Entry) -> dict[str, Any]:
    """A login of the user's, as Keystone tells it, with its `token`."""
    auth = entry["auth"]
    user = {"name": auth["username"], "domain": {"id": "default"}, "password": auth["password"]}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": auth["project_name"], "domain": {"id": "default"}}},
        }
    }
    answer = requests.post(keystone(entry, "/auth/tokens"), json=body, timeout=10)
    return {**answer.json()["token"], "token": answer.headers["X-Subject-Token"]}


def keystone(entry: Entry, path: str) -> str:
    return str(entry["auth"]["auth_url"].rstrip("/").removesuffix("/v3")) + "/v3" + path


def test_a_project_may_be_named_by_its_id(
    entry: Entry, token: dict[str, Any], write: Callable[[Entry], Path], backend: str
) -> None:
    changes = {"project_name": None, "project_domain_id": None, "project_domain_name": None}
    write(merged(entry, {"auth": {**changes, "project_id": token["project"]["id"]}}))
    answers(connect("odd", backend))


def test_a_user_may_be_named_by_the_id(
    entry: Entry, token: dict[str, Any], write: Callable[[Entry], Path], backend: str
) -> None:
    changes = {"username": None, "user_domain_id": None, "user_domain_name": None}
    write(merged(entry, {"auth": {**changes, "user_id": token["user"]["id"]}}))
    answers(connect("odd", backend))


def by_token(entry: Entry, token: dict[str, Any], auth_type: str) -> Entry:
    auth = {key: entry["auth"][key] for key in ("auth_url", "project_name")}
    return {"auth_type": auth_type, "auth": {**auth, "token": token["token"], "project_domain_id": "default"}}


@pytest.mark.parametrize("auth_type", ["token", "v3token"])
def test_a_token_logs_in(
    entry: Entry, token: dict[str, Any], write: Callable[[Entry], Path], backend: str, auth_type: str
) -> None:
    write(by_token(entry, token, auth_type))
    answers(connect("odd", backend))


def test_a_token_that_is_none_is_refused_as_credentials_are(
    entry: Entry, write: Callable[[Entry], Path], backend: str
) -> None:
    write(by_token(entry, {"token": "gAAAAABnone"}, "token"))
    with pytest.raises(AuthError, match="The cloud refuses the credentials: Could not recognize Fernet token"):
        connect("odd", backend).servers()


@pytest.fixture
def credential(entry: Entry, token: dict[str, Any]) -> Iterator[dict[str, str]]:
    """An application credential of the user's, with its secret."""
    url = keystone(entry, f"/users/{token['user']['id']}/application_credentials")
    headers = {"X-Auth-Token": token["token"]}
    made = requests.post(url, json={"application_credential": {"name": "lab"}}, headers=headers, timeout=10)
    credential = made.json()["application_credential"]
    yield credential
    requests.delete(f"{url}/{credential['id']}", headers=headers, timeout=10)


def by_credential(entry: Entry, credential: dict[str, str]) -> Entry:
    return {
        "auth_type": "v3applicationcredential",
        "auth": {
            "auth_url": entry["auth"]["auth_url"],
            "application_credential_id": credential["id"],
            "application_credential_secret": credential["secret"],
        },
    }


def test_an_application_credential_logs_in(
    entry: Entry, credential: dict[str, str], write: Callable[[Entry], Path], backend: str
) -> None:
    write(by_credential(entry, credential))
    cloud = connect("odd", backend)
    answers(cloud)
    assert credential["secret"] not in repr(cloud.config)


def test_an_application_credential_may_be_named_by_its_users_name(
    entry: Entry, credential: dict[str, str], write: Callable[[Entry], Path], backend: str
) -> None:
    odd = by_credential(entry, credential)
    del odd["auth"]["application_credential_id"]
    write(merged(odd, {"auth": {"application_credential_name": "lab", "username": entry["auth"]["username"]}}))
    answers(connect("odd", backend))


def test_secrets_may_be_in_secure_yaml(
    entry: Entry, write: Callable[[Entry], Path], backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secure.yaml"
    secret.write_text(yaml.safe_dump({"clouds": {"odd": {"auth": {"password": entry["auth"]["password"]}}}}))
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(secret))
    write(merged(entry, {"auth": {"password": None}}))
    answers(connect("odd", backend))


def test_a_profile_is_filled_in(
    entry: Entry, write: Callable[[Entry], Path], backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"public-clouds": {"our-university": {"auth": {"auth_url": entry["auth"]["auth_url"]}}}}
    Path("clouds-public.yaml").write_text(yaml.safe_dump(known))
    monkeypatch.setattr("openstack.config.loader.VENDOR_FILES", [str(tmp_path / "clouds-public.yaml")])
    write({**merged(entry, {"auth": {"auth_url": None}}), "profile": "our-university"})
    answers(connect("odd", backend))


def test_os_variables_alone_are_the_cloud_envvars(
    entry: Entry, embedded: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in entry["auth"].items():
        monkeypatch.setenv(f"OS_{key.upper()}", value)
    monkeypatch.setenv("OS_REGION_NAME", entry["region_name"])
    monkeypatch.setenv("OS_IDENTITY_API_VERSION", "3")  # as every RC file of Horizon's does
    monkeypatch.setenv("OS_INTERFACE", "public")
    answers(connect("envvars", backend))
    monkeypatch.delenv("OS_PASSWORD")
    with pytest.raises(ConfigError, match=r"^the OS_\* variables: the entry 'envvars' needs password under auth"):
        connect("envvars", backend)


def base_of(entry: Entry) -> str:
    """Below which the embedded cloud's services are."""
    return str(entry["auth"]["auth_url"].removesuffix("/v3").removesuffix("/identity"))


@pytest.fixture
def encrypted(entry: Entry, tmp_path: Path) -> Iterator[tuple[Entry, Path]]:
    """The entry of the embedded cloud behind TLS, and the certificate."""
    own = certificate(tmp_path / "own.pem")
    with relay(base_of(entry), own) as port:
        base = f"https://127.0.0.1:{port}"
        paths = {"compute": "/compute/v2.1", "network": "/networking", "image": "/image/v2"}
        overrides = {f"{service}_endpoint_override": base + path for service, path in paths.items()}
        yield merged(entry, {"auth": {"auth_url": f"{base}/identity"}, **overrides}), own


def test_a_certificate_of_an_own_authority_needs_cacert(
    encrypted: tuple[Entry, Path], write: Callable[[Entry], Path], backend: str
) -> None:
    entry, own = encrypted
    write(entry)
    with pytest.raises(Unreachable, match="its certificate can't be verified"):
        connect("odd", backend).images()
    write({**entry, "cacert": str(own)})
    answers(connect("odd", backend))


def test_certificates_go_unchecked_where_the_entry_says_so(
    encrypted: tuple[Entry, Path], write: Callable[[Entry], Path], backend: str
) -> None:
    write({**encrypted[0], "verify": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error", urllib3.exceptions.InsecureRequestWarning)  # it is told once, in clouds.yaml
        answers(connect("odd", backend))


NETWORKS = [Network("1", "lan", False), Network("2", "wan", True), Network("3", "www", True), Network("4", "x", False)]


def test_among_several_networks_clouds_yaml_chooses(entry: Entry, write: Callable[[Entry], Path]) -> None:
    place = write(entry)
    loaded = config.load("odd")
    with pytest.raises(Ambiguous) as caught:
        pick_network(loaded, NETWORKS, external=True)
    assert str(caught.value) == (
        "The project has more than one external network (wan, www): choose one in the entry 'odd' "
        f"({place}, line 3), with `faafo_lab: {{external_network: NAME}}`."
    )
    with pytest.raises(Ambiguous, match=r"network for servers \(lan, x\).*faafo_lab: {network: NAME}"):
        pick_network(loaded, NETWORKS, external=False)
    write({**entry, "faafo_lab": {"network": "x", "external_network": "www"}})
    loaded = config.load("odd")
    assert [pick_network(loaded, NETWORKS, external).name for external in (False, True)] == ["x", "www"]
    write({**entry, "faafo_lab": {"external_network": "lan"}})
    with pytest.raises(NotFound, match="no external network 'lan'"):
        pick_network(config.load("odd"), NETWORKS, external=True)
    section = [{"name": "www", "routes_externally": True}, {"name": "x", "nat_destination": True}]
    write({**entry, "networks": section})
    loaded = config.load("odd")
    assert [pick_network(loaded, NETWORKS, external).name for external in (False, True)] == ["x", "www"]


def test_with_a_second_network_of_the_projects_servers_need_its_name(
    entry: Entry, token: dict[str, Any], write: Callable[[Entry], Path], cloud: Cloud, backend: str
) -> None:
    url = base_of(entry) + "/networking/v2.0/networks"
    headers = {"X-Auth-Token": token["token"]}
    made = requests.post(url, json={"network": {"name": "second"}}, headers=headers, timeout=10).json()["network"]
    try:
        write(entry)
        odd = connect("odd", backend)
        with pytest.raises(NotReady, match=r"more than one network for servers \(private, second\)"):
            odd.preflight(1, odd.flavors()[0], odd.images()[0])
        write({**entry, "faafo_lab": {"network": "private"}})
        odd = connect("odd", backend)
        odd.preflight(1, odd.flavors()[0], odd.images()[0], floating_ips=1)
        server = odd.create_server("on-private", image=odd.images()[0], flavor=odd.flavors()[0])
        assert odd.wait_for(server, progress=False)[0].addresses  # on the second network are none: it has no subnet
        odd.delete_servers([server], progress=False)
    finally:
        requests.delete(f"{url}/{made['id']}", headers=headers, timeout=10)


# ---- refused: by ConfigErrors, before anything is asked, with the place of the entry ----

CREDENTIAL = {"application_credential_id": "1", "application_credential_secret": "2"}
REFUSED: dict[str, tuple[Entry, str]] = {
    "an entry that is a text": ({"": "text"}, "must hold settings"),
    "no settings": ({"": None}, "must hold settings"),
    "an empty auth": ({"auth": {}}, "needs an auth_url"),
    "auth with nothing below": ({"auth": None}, "needs an auth_url"),
    "auth that is a list": ({"auth": ["demo", "secret"]}, "auth must hold auth_url"),
    "auth that is a text": ({"auth": "demo:secret"}, "auth must hold auth_url"),
    "no scheme": ({"+": {"auth_url": "cloud.example.org:5000"}}, "needs an auth_url.*'cloud.example.org:5000'"),
    "braces": ({"+": {"auth_url": "https://{where}/v3"}}, "can't be used: KeyError 'where'"),
    "no password": ({"+": {"password": None}}, "needs password under auth"),
    "no user": ({"+": {"username": None}}, "needs username or user_id under auth"),
    "no project": ({"+": {"project_name": None}}, "needs project_name or project_id under auth"),
    "a mistyped key": ({"+": {"usr": "demo"}}, "has usr under auth.*does not know"),
    "a password that YAML reads as true": ({"+": {"password": True}}, "password .* must be text"),
    "a password that is a mapping": ({"+": {"password": {"file": "x"}}}, "password .* must be text"),
    "no such auth_type": ({"auth_type": "pasword"}, "can't be used: .*pasword"),
    "auth_type none": ({"auth_type": "none"}, "auth_type none, which does not log in to a project"),
    "Keystone v2": ({"auth_type": "v2password"}, "auth_type v2password, which does not log in to a project"),
    "an application credential without auth_type": (
        {"auth": {"auth_url": "http://192.0.2.1"} | CREDENTIAL},
        "has application_credential_secret and no auth_type: add `auth_type: v3applicationcredential`",
    ),
    "a token without auth_type": (
        {"auth": {"auth_url": "http://192.0.2.1", "token": "x", "project_id": "y"}},
        "has token and no auth_type: add `auth_type: token`",
    ),
    "an application credential without its secret": (
        {"auth_type": "v3applicationcredential", "+": {"application_credential_id": "1"}},
        "needs application_credential_secret under auth",
    ),
    "an application credential and a project": (
        {"auth_type": "v3applicationcredential", "+": CREDENTIAL},
        "an application credential, which belongs to one project: remove project_name",
    ),
    "regions that are a text": ({"regions": "RegionOne"}, "regions must be a list"),
    "a region without a name": ({"regions": [{"values": {}}]}, "each of its regions needs a name"),
    "a region that is a number of lists": ({"regions": [["RegionOne"]]}, "regions must be a list of names"),
    "networks that are names": ({"networks": ["public"]}, "networks must be a list of mappings"),
    "a region that is none": ({"region_name": [["RegionOne"]]}, "regions must be a list of names"),
    "an interface that is true": ({"interface": True}, "interface must be text, not True"),
    "a services interface that is true": ({"compute_interface": True}, "compute_interface must be text, not True"),
    "a cacert that is a list": ({"cacert": ["a.pem"]}, "cacert must be text"),
    "an address without a scheme": (
        {"image_endpoint_override": "glance.example.org"},
        "must be an address that begins",
    ),
    "a version that is none": ({"compute_default_microversion": "new"}, "must be a version, such as 2.1, not 'new'"),
    "retries that are none": ({"connect_retries": "often"}, "connect_retries must be a number, not 'often'"),
    "a profile that nobody knows": ({"profile": "nowhere"}, "an unknown profile"),
    "a cacert that is missing": ({"cacert": "/nowhere/ca.pem"}, "cacert '/nowhere/ca.pem' can't be read: No such file"),
    "a cacert that is none": ({"cacert": __file__}, "can't be read: it contains no certificate"),
    "a client's certificate that is missing": ({"cert": "/nowhere/me.pem"}, "no file '/nowhere/me.pem'"),
    "its key that is missing": ({"cert": __file__, "key": "/nowhere/me.key"}, "no file '/nowhere/me.key'"),
    "a timeout that is none": ({"api_timeout": "soon"}, "api_timeout .* must be a number of seconds, not 'soon'"),
    "a negative timeout": ({"api_timeout": -1}, "api_timeout .* must be a number of seconds"),
    "a section that is a list": ({"faafo_lab": ["x"]}, "faafo_lab must hold settings by name"),
    "a section that is a text": ({"faafo_lab": "network"}, "faafo_lab must hold settings by name"),
    "a mistyped setting": ({"faafo_lab": {"netwrok": "x"}}, "no faafo_lab setting 'netwrok'. Did you mean 'network'"),
    "a network that is a list": ({"faafo_lab": {"network": ["a", "b"]}}, "network .* must be a name"),
    "a wait that is none": (
        {"faafo_lab": {"wait_seconds": "long"}},
        "wait_seconds .* must be a number of seconds, not 'long'",
    ),
    "ports that are a number": ({"faafo_lab": {"published_ports": 8000}}, "published_ports .* must have the form"),
    "an offset that is none": (
        {"faafo_lab": {"published_ports": {"offset": "x"}}},
        "published_ports .* must have the form",
    ),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_an_entry_that_cannot_work_is_refused_in_one_sentence_that_says_where(
    write: Callable[[Entry], Path], changes: Entry, words: str
) -> None:
    auth = {"auth_url": "http://192.0.2.1/v3", "username": "demo", "password": "secret", "project_name": "demo"}
    auth = {key: value for key, value in {**auth, **changes.get("+", {})}.items() if value is not None}
    odd = changes[""] if "" in changes else {"auth": auth, **{key: changes[key] for key in changes if key != "+"}}
    place = write(odd)
    with pytest.raises(ConfigError, match=words) as caught:
        connect("odd")
    assert f"{place}, line 3" in str(caught.value)
    assert "'odd'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value).replace("_secret", "").replace("a secret", "")


BROKEN = {
    "clouds: {odd: [": r", line 1: this is not YAML",
    "clouds:\n  odd:\n    auth: {a: b\n": r", line \d: this is not YAML",
    "clouds:\n\todd: {}\n": r", line 2: this is not YAML",
    "{{ clouds }}": r" not YAML|must hold `clouds:`",
    "just words": r" must hold `clouds:`",
    "- clouds\n": r" must hold `clouds:`",
    "clouds: [odd]": r"`clouds` must hold entries by name",
    "clouds: odd": r"`clouds` must hold entries by name",
    "\x00": r" is not a YAML",
    "clouds: {[a]: b, {c: d}: e}": r" not YAML",
}


@pytest.mark.parametrize("text", BROKEN, ids=repr)
def test_a_file_that_is_no_clouds_yaml_is_named(clouds_yaml: Path, text: str) -> None:
    clouds_yaml.write_text(text)
    with pytest.raises(ConfigError, match=f"^{clouds_yaml}.*{BROKEN[text]}|^{clouds_yaml}{BROKEN[text]}"):
        config.load("odd")


@pytest.mark.parametrize("section", ["client", "metrics", "cache"])
def test_another_section_that_is_wrong_is_refused_with_its_file(clouds_yaml: Path, section: str) -> None:
    clouds_yaml.write_text(clouds_yaml.read_text() + f"{section}: [x]\n")
    with pytest.raises(ConfigError, match=f"^{clouds_yaml} can't be used"):
        config.load("lost")


def test_a_cloud_named_as_that_of_the_variables_is_refused(clouds_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD_NAME", "lost")
    with pytest.raises(ConfigError, match=f"^{clouds_yaml} can't be used: .*'lost'"):
        config.load("lost")


def test_a_directory_in_a_files_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path))
    with pytest.raises(ConfigError, match=f"^{tmp_path} can't be read: Is a directory"):
        config.load("lost")


ODD: tuple[Any, ...] = (None, True, 0, "", "{x}", "ü\n", ["x"], [{}], {}, {"a": 1})
SETTINGS = (
    *("auth", "auth_type", "auth_methods", "domain_id", "user_domain_name", "username", "password", "project_name"),
    *("auth_url", "passcode", "region_name", "regions", "profile", "cloud", "networks", "external_network"),
    *("internal_network", "interface", "endpoint_type", "compute_interface", "compute_endpoint_override"),
    *("network_endpoint_override", "image_service_name", "volume_service_type", "identity_api_version"),
    *("image_api_version", "compute_default_microversion", "verify", "insecure", "cacert", "cert", "key"),
    *("api_timeout", "timing", "metrics", "force_ipv4", "prefer_ipv6", "floating_ip_source", "disable_vendor_agent"),
    *("connect_retries", "faafo_lab", "rate_limit", "vendor_hook"),
)


@pytest.mark.parametrize("below", ["", "auth", "faafo_lab", "region"])
def test_whatever_a_setting_holds_an_entry_is_taken_or_refused(
    write: Callable[[Entry], Path], backend: str, below: str
) -> None:
    names: dict[str, tuple[str, ...]] = {"": SETTINGS, "region": ("name", "values"), "faafo_lab": config.SETTINGS}
    for name, value in itertools.product(names.get(below, SETTINGS[2:10]), ODD):
        auth = {"auth_url": "http://192.0.2.1/v3", "username": "demo", "password": "secret", "project_name": "demo"}
        odd: Entry = {"auth": auth}
        if below == "region":
            odd["regions"] = [{"name": "RegionOne", "values": {}} | {name: value}]
        else:
            (odd.setdefault(below, {}) if below else odd)[name] = value
        place = write(odd)
        said = f"{place}, line 3"
        try:
            cloud = connect("odd", backend)
            assert cloud.config.wait_seconds > 0
            assert cloud.published_port(22) >= 22
            assert "odd" in cloud._repr_html_()
        except ConfigError as error:
            said = str(error)
        assert f"{place}, line 3" in said


def test_a_file_of_another_encoding_is_named(clouds_yaml: Path) -> None:
    clouds_yaml.write_bytes("clouds: {odd: {auth: {username: jürgen}}}".encode("latin-1"))
    with pytest.raises(ConfigError, match=f"^{clouds_yaml} is not a YAML"):
        config.load("odd")


def test_a_json_file_that_is_broken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clouds.json"
    path.write_text(json.dumps({"clouds": {"odd": {}}})[:-1])
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    with pytest.raises(ConfigError, match=f"^{path} is not a YAML or JSON"):
        config.load("odd")


@pytest.mark.parametrize("text", ["", "clouds:\n", "clouds: {}\n", "other: {}\n"])
def test_without_any_entry_the_file_that_was_read_is_named(clouds_yaml: Path, text: str) -> None:
    clouds_yaml.write_text(text)
    with pytest.raises(ConfigError, match=f"no cloud 'odd'.*read: {clouds_yaml}"):
        config.load("odd")


@pytest.mark.parametrize("name", ["2024", "yes", "1e3", "null", "2024-01-01"])
def test_a_name_or_a_secret_may_look_like_something_else(clouds_yaml: Path, name: str) -> None:
    clouds_yaml.write_text(
        f"clouds:\n  {name}:\n    auth: {{auth_url: http://192.0.2.1, username: 007, password: 0123,"
        " project_id: 12345678901234567890123456789e10}\n"
    )
    loaded = config.load(name)
    assert [loaded.auth[key] for key in ("username", "password", "project_id")] == [
        "007",
        "0123",
        "12345678901234567890123456789e10",
    ]


def test_entries_may_share_settings(clouds_yaml: Path) -> None:
    clouds_yaml.write_text(
        "others: &others\n  first: &first\n    region_name: One\n    auth: {auth_url: http://192.0.2.1, username: a,"
        " password: b, project_name: c}\nclouds:\n  <<: *others\n  second:\n    <<: *first\n    region_name: Two\n"
    )
    assert (config.load("first").region, config.load("second").region) == ("One", "Two")
    assert config.load("second").entry == f"entry 'second' ({clouds_yaml}, line 7)"


def test_a_neighbour_that_is_wrong_is_nobodys_trouble(clouds_yaml: Path) -> None:
    clouds_yaml.write_text(clouds_yaml.read_text() + "\n  broken: [1, 2]\n  empty:\n")
    assert config.load("lost").region == "RegionOne"


def test_the_readme_shows_every_setting_of_the_labs_own_section(clouds_yaml: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = readme.partition("```yaml\n")[2].partition("```")[0]
    clouds_yaml.write_text(example, encoding="utf-8")
    assert sorted(config.load("mycloud").lab) == list(config.SETTINGS)
    assert config.WAIT_VARIABLE in readme


# ---- refused by the cloud ----


@pytest.mark.parametrize(
    "changes", [{"region_name": "Nowhere"}, {"interface": "outer"}, {"regions": ["Nowhere", "RegionOne"]}], ids=str
)
def test_a_region_or_an_interface_that_the_cloud_lacks_is_told_with_those_it_has(
    entry: Entry, write: Callable[[Entry], Path], backend: str, changes: Entry
) -> None:
    place = write({**entry, **changes} if "regions" not in changes else {"auth": entry["auth"], **changes})
    with pytest.raises(ConfigError) as caught:
        connect("odd", backend).servers()
    assert f"entry 'odd' ({place}, line 3)" in str(caught.value)
    assert "the regions RegionOne and the interfaces admin, internal, public" in str(caught.value)


@pytest.mark.parametrize("path", ["/compute", "/compute/v2.1", "/image", "/networking", "/object-store", "/nowhere/v3"])
def test_the_address_of_another_service_is_told_as_such(
    entry: Entry, write: Callable[[Entry], Path], backend: str, path: str
) -> None:
    base = base_of(entry)
    write(merged(entry, {"auth": {"auth_url": base + path}}))
    with pytest.raises(Unreachable, match=rf"at {base}{path}: there is no identity service \(Keystone v3\)\."):
        connect("odd", backend).servers()


def test_the_id_of_a_domain_as_its_name_is_explained(
    entry: Entry, write: Callable[[Entry], Path], backend: str
) -> None:
    write(merged(entry, {"auth": {**NO_DOMAINS, "user_domain_name": "default", "project_domain_name": "default"}}))
    with pytest.raises(AuthError, match=r"'Default', and 'default' is its id.*project_domain_name, user_domain_name"):
        connect("odd", backend).servers()


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"password": "wrong"}, {"project_name": "none"}], ids=str)
def test_wrong_credentials_are_told_alike(
    entry: Entry, write: Callable[[Entry], Path], backend: str, changes: Entry
) -> None:
    write(merged(entry, {"auth": changes}))
    with pytest.raises(CloudError) as caught:
        connect("odd", backend).servers()
    assert type(caught.value) is AuthError
    assert str(caught.value) == (
        "The cloud refuses the credentials: The request you have made requires authentication. "
        "Check user, password and project in clouds.yaml."
    )


def test_a_token_that_was_revoked_is_renewed(embedded: Path, cloud: Cloud, entry: Entry) -> None:
    cloud.servers()
    plugin = cloud.config.loaded.get_auth()
    revoked = plugin.auth_ref.auth_token
    headers = {"X-Auth-Token": revoked, "X-Subject-Token": revoked}
    assert requests.delete(keystone(entry, "/auth/tokens"), headers=headers, timeout=10).status_code == 204
    assert cloud.servers() == []
    assert plugin.auth_ref.auth_token != revoked
