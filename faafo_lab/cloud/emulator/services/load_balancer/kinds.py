"""What a load balancer is made of, and what each part's attributes may be (Octavia v2).

Attributes of the real service that this one has no use for are shown as empty and refused with a 501 where a client
sets them, as a provider does that does not support an option.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault

REQUIRED: Any = object()
PROVIDER = "octavia"

_NAME: JSON = {"type": "string", "maxLength": 255}
_BOOLEAN: JSON = {"type": "boolean"}
_UUID: JSON = {"type": "string", "pattern": schema.UUID}
_PORT: JSON = {"type": "integer", "minimum": 1, "maximum": 65535}
_TAGS: JSON = {"type": "array", "items": {"type": "string", "maxLength": 255}}
_MILLISECONDS: JSON = {"type": "integer", "minimum": 0, "maximum": 86_400_000}
_CODE = "[1-5][0-9]{2}"  # of HTTP


def _ipv4(name: str, parse: Callable[[str], Any]) -> JSON:
    def check(value: str) -> bool:
        try:
            return bool(parse(value).version == 4)
        except ValueError:
            return False

    return {"type": "string", "format": (name, check)}


_ADDRESS, _BLOCK = _ipv4("ipv4", ipaddress.ip_address), _ipv4("cidr", partial(ipaddress.ip_network, strict=False))


@dataclass(frozen=True)
class Attribute:
    """An attribute: its schema, its value where a create does not name it, and whether it may be changed."""

    schema: JSON
    default: Any = None
    put: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of part."""

    name: str  # load_balancer: as quotas and the state name it
    key: str  # loadbalancer: as bodies name it; with an s, the paths
    title: str  # Load Balancer: as errors name it
    attributes: Mapping[str, Attribute]
    refused: tuple[str, ...] = ()  # what is known and not supported
    nested: tuple[str, ...] = ()  # parts that may be created along with it
    empty: JSON = field(default_factory=dict)  # what it is shown with and has no use for here

    @property
    def plural(self) -> str:
        """As paths name it."""
        return f"{self.key}s"

    def values(self, body: JSON) -> JSON:
        """A new one's attributes, complete and checked. Raises `schema.Invalid` or a `Fault`."""
        given = self._checked(body, new=True)
        for name, attribute in self.attributes.items():
            if given.get(name) is None:
                if attribute.default is REQUIRED:
                    raise Fault(
                        400, f"Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing."
                    )
                given[name] = attribute.default
        return given

    def changes(self, body: JSON) -> JSON:
        """Changes of one, checked; null is the default again. Raises `schema.Invalid` or a `Fault`."""
        given = self._checked(body, new=False)
        for name, value in given.items():
            if value is None and self.attributes[name].default is not REQUIRED:
                given[name] = self.attributes[name].default
        return given

    def _checked(self, body: JSON, *, new: bool) -> JSON:
        given: JSON = {}
        for name, value in body.items():
            if new and name in (*self.nested, "project_id", "tenant_id"):
                continue
            if name in self.refused:
                if value not in (None, [], {}, False, "", "NONE", 0):
                    raise unsupported(name)
                continue
            attribute = self.attributes.get(name)
            if attribute is None or not (new or attribute.put):
                raise Fault(400, f"Unknown attribute for argument {self.key}: {name}")
            if value is not None:
                schema.check(value, attribute.schema, name)
            elif not new and attribute.default is REQUIRED:
                raise Fault(400, f"Invalid input for field/attribute {name}. Value: 'None'. It cannot be null.")
            given[name] = value
        return given


def unsupported(what: str) -> Fault:
    """The answer to a wish that the real service can fulfil."""
    return Fault(501, f"Provider '{PROVIDER}' does not support a requested option: {what}.")


def choice(name: str, *values: str, known: tuple[str, ...] = ()) -> JSON:
    """One of these values; those `known` are Octavia's too, and not supported here."""

    def check(value: str) -> bool:
        if value in known:
            raise unsupported(f"{name} {value}")
        return value in values

    return {"type": "string", "format": (" or ".join(values), check)}


_COMMON = {"name": Attribute(_NAME, ""), "admin_state_up": Attribute(_BOOLEAN, True), "tags": Attribute(_TAGS, [])}
_DESCRIBED = {**_COMMON, "description": Attribute(_NAME, "")}
_TLS: JSON = {"tls_ciphers": None, "tls_versions": [], "alpn_protocols": []}
_POOL_TLS: JSON = {"tls_enabled": False, "tls_container_ref": None, "ca_tls_container_ref": None,
                   "crl_container_ref": None, **_TLS}  # fmt: skip
_LISTENER_TLS: JSON = {"default_tls_container_ref": None, "sni_container_refs": [], "client_ca_tls_container_ref": None,
                       "client_authentication": "NONE", "client_crl_container_ref": None, "timeout_tcp_inspect": 0,
                       "hsts_max_age": None, "hsts_include_subdomains": False, "hsts_preload": False,
                       **_TLS}  # fmt: skip
INSERT_HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")
PROTOCOLS_ELSEWHERE = ("HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS", "PROXY", "PROXYV2")
MONITORS_ELSEWHERE = ("HTTPS", "PING", "TLS-HELLO", "UDP-CONNECT", "SCTP")
PERSISTENCE: JSON = {
    "type": "object",
    "required": ["type"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": ["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]},
        "cookie_name": {"type": ["string", "null"], "pattern": r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,255}\Z"},
        "persistence_timeout": {"type": "null"},
        "persistence_granularity": {"type": "null"},
    },
}

LOAD_BALANCER = Kind(
    "load_balancer",
    "loadbalancer",
    "Load Balancer",
    {
        **_DESCRIBED,
        "vip_address": Attribute(_ADDRESS, put=False),
        "vip_port_id": Attribute(_UUID, put=False),
        "vip_subnet_id": Attribute(_UUID, put=False),
        "vip_network_id": Attribute(_UUID, put=False),
        "provider": Attribute({"type": "string"}, PROVIDER, put=False),
    },
    refused=("vip_qos_policy_id", "flavor_id", "availability_zone", "additional_vips", "vip_sg_ids"),
    nested=("listeners", "pools"),
    empty={"vip_qos_policy_id": None, "flavor_id": None, "availability_zone": None, "additional_vips": [],
           "vip_vnic_type": "normal", "vip_sg_ids": []},
)  # fmt: skip
LISTENER = Kind(
    "listener",
    "listener",
    "Listener",
    {
        **_DESCRIBED,
        "loadbalancer_id": Attribute(_UUID, put=False),
        "protocol": Attribute(choice("protocol", "HTTP", "TCP", known=PROTOCOLS_ELSEWHERE), REQUIRED, put=False),
        "protocol_port": Attribute(_PORT, REQUIRED, put=False),
        "connection_limit": Attribute({"type": "integer", "minimum": -1}, -1),
        "default_pool_id": Attribute(_UUID),
        "insert_headers": Attribute(
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: {"type": ["string", "boolean"]} for name in INSERT_HEADERS},
            },
            {},
        ),
        "timeout_client_data": Attribute(_MILLISECONDS, 50_000),
        "timeout_member_connect": Attribute(_MILLISECONDS, 5_000),
        "timeout_member_data": Attribute(_MILLISECONDS, 50_000),
        "allowed_cidrs": Attribute({"type": "array", "items": _BLOCK}),
    },
    refused=(*_LISTENER_TLS, "l7policies"),
    nested=("default_pool",),
    empty={**_LISTENER_TLS, "l7policies": []},
)
POOL = Kind(
    "pool",
    "pool",
    "Pool",
    {
        **_DESCRIBED,
        "loadbalancer_id": Attribute(_UUID, put=False),
        "listener_id": Attribute(_UUID, put=False),
        "protocol": Attribute(choice("protocol", "HTTP", "TCP", known=PROTOCOLS_ELSEWHERE), REQUIRED, put=False),
        "lb_algorithm": Attribute(
            choice("lb_algorithm", "ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", known=("SOURCE_IP_PORT",)), REQUIRED
        ),
        "session_persistence": Attribute(PERSISTENCE),
    },
    refused=tuple(_POOL_TLS),
    nested=("members", "healthmonitor"),
    empty=_POOL_TLS,
)
MEMBER = Kind(
    "member",
    "member",
    "Member",
    {
        **_COMMON,
        "address": Attribute(_ADDRESS, REQUIRED, put=False),
        "protocol_port": Attribute(_PORT, REQUIRED, put=False),
        "weight": Attribute({"type": "integer", "minimum": 0, "maximum": 256}, 1),
        "backup": Attribute(_BOOLEAN, False),
        "subnet_id": Attribute(_UUID, put=False),
        "monitor_address": Attribute(_ADDRESS),
        "monitor_port": Attribute(_PORT),
    },
    refused=("request_sriov",),
    empty={"vnic_type": "normal"},
)
HEALTH_MONITOR = Kind(
    "health_monitor",
    "healthmonitor",
    "Health Monitor",
    {
        **_COMMON,
        "pool_id": Attribute(_UUID, REQUIRED, put=False),
        "type": Attribute(choice("type", "HTTP", "TCP", known=MONITORS_ELSEWHERE), REQUIRED, put=False),
        "delay": Attribute({"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, REQUIRED),
        "timeout": Attribute({"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, REQUIRED),
        "max_retries": Attribute({"type": "integer", "minimum": 1, "maximum": 10}, REQUIRED),
        "max_retries_down": Attribute({"type": "integer", "minimum": 1, "maximum": 10}, 3),
        "http_method": Attribute(
            {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"]}
        ),
        "url_path": Attribute({"type": "string", "maxLength": 255, "pattern": r"^/[!-~]*\Z"}),
        "expected_codes": Attribute({"type": "string", "pattern": rf"^{_CODE}(( *, *{_CODE})*| *- *{_CODE})\Z"}),
        "http_version": Attribute({"type": "number", "enum": [1.0, 1.1]}),
        "domain_name": Attribute({"type": "string", "pattern": r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?\Z"}),
    },
)  # fmt: skip
KINDS = (LOAD_BALANCER, LISTENER, POOL, MEMBER, HEALTH_MONITOR)
HTTP_CHECK = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}


def codes(text: str) -> frozenset[int]:
    """The status codes of `200`, `200, 202` or `200-204`."""
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    return frozenset(range(numbers[0], numbers[-1] + 1)) if "-" in text else frozenset(numbers)
