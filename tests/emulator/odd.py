"""What a careless or a hostile client sends: odd texts, values, bodies, query parameters and headers."""

from __future__ import annotations

from typing import Any

NOWHERE = "00000000-0000-4000-8000-000000000000"
TEXTS = (
    *("", " ", "\0", "..", "../../etc/passwd", "a/b", "%00", "\r\nX-Other: 1", "\u202e", "\ud800", "ß" * 300),
    *("x" * 70_000, "null", "-1", "1e999", "99999999999999999999", "latest", "*", "(a+)+$", "{}", "'; --", NOWHERE),
    *(NOWHERE + "\n", "10.9.0.300", "10.9.0.0/99", "0.0.0.0/0", "::1", "2026-13-45T99:99:99Z", "true"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 10**400, -(10**30), 1e308, float("nan"), float("inf"), [], {}, [[]]),
    *([None], {"": ""}, {"a": None}, {"id": 1}, ["a", "a"], [{}], [1, "a"], {"name": {"name": {}}}),
)  # fmt: skip
BODIES = (
    *(b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"[" * 3000, b"\0", b"a=b&c=d"),
    *(b'{"a": \xed\xa0\x80}', b'{"server": "\xed\xa0\x80"}', b'{"a": 1, "a": 2}', b'{"a":' * 3000, b"1" * 5000),
    b"{" + b" " * 100_000,
)  # fmt: skip
_QUERY_NAMES = (
    "limit marker page_reverse sort_key sort_dir sort fields name id status tags ip changes-since all_tenants size_min"
    " visibility tag protected nocatalog project_id format prefix delimiter end_marker path multipart-manifest"
    " temp_url_sig temp_url_expires with_count fixed_ips mtu created_at user_id type offset minRam not-tags-any"
    " bulk-delete force changes-before sort-key metadata availability_zone member_status os_hidden"
)
QUERY_NAMES = tuple(_QUERY_NAMES.split())
HEADERS = {
    "OpenStack-API-Version": ("compute 2.1", "compute 2.99", "compute latest", "volume 3.0", "volume 3.999", ","),
    "X-OpenStack-Nova-API-Version": ("2.1", "9.9", "latest", "two", "2.1.1"),
    "Content-Type": (
        *("application/json", "text/plain", "application/octet-stream", "", "multipart/form-data"),
        "text/html; charset=x",
        "application/openstack-images-v2.1-json-patch",
    ),
    "Accept": ("*/*", "application/json", "text/plain", "application/xml", "nonsense"),
    "Range": ("bytes=0-0", "bytes=5-1", "bytes=-", "bytes=-0", "bytes=" + "9" * 30 + "-", "lines=1-2", "bytes=0-1,x"),
    "If-None-Match": ("*", '"x"', "x" * 300),
    "If-Modified-Since": ("yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"),
    "X-Auth-Token": ("", "wrong", "\xff\xfe", "x" * 3000),
    "X-Subject-Token": ("", "wrong", "\xff"),
    "X-Container-Read": (".r:*,.rlistings", ".r:", "*:*", ",,,"),
    "X-Object-Manifest": ("a/b", "/", "..", "%zz"),
    "X-Copy-From": ("a/b", "/../x", "%00"),
    "X-Delete-After": ("1", "-1", "x", "9" * 20),
    "X-Delete-At": ("1", "x"),
    "X-Container-Meta-Quota-Bytes": ("x", "-1"),
    "ETag": ("wrong", '"wrong"'),
    "Destination": ("a/b", "..", "/"),
}  # fmt: skip
