"""What a project has used: Nova's os-simple-tenant-usage."""

from datetime import UTC, datetime, timedelta

import pytest

from faafo_lab.cloud.emulator.control import Running

from .conftest import Api

USAGE = "/compute/v2.1/os-simple-tenant-usage"


@pytest.fixture(scope="module")
def admin(running: Running) -> Api:
    return Api(running, "embedded-admin")


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).replace(tzinfo=None).isoformat()


def test_a_projects_usage_counts_its_servers_deleted_ones_too(api: Api, alt: Api, admin: Api) -> None:
    span = f"?start={day(-1)}&end={day(1)}"
    assert api.get(f"{USAGE}/{api.project}{span}") == {"tenant_usage": {}}
    gone, there = api.boot("gone", flavorRef="2"), api.boot("there")
    api.remove(gone)
    usage = api.get(f"{USAGE}/{api.project}{span}")["tenant_usage"]
    first, second = sorted(usage["server_usages"], key=lambda each: str(each["name"]))
    assert (first["instance_id"], first["state"], first["flavor"]) == (gone, "terminated", "m1.small")
    assert (second["instance_id"], second["state"], second["ended_at"]) == (there, "active", None)
    assert (first["memory_mb"], first["vcpus"], first["local_gb"]) == (1024, 1, 5)
    assert first["started_at"] < first["ended_at"]
    assert usage["total_hours"] == pytest.approx(first["hours"] + second["hours"])
    assert usage["total_memory_mb_usage"] == pytest.approx(first["hours"] * 1024 + second["hours"] * 512)
    assert 0 < second["hours"] < 1
    assert usage["tenant_id"] == api.project
    assert api.get(f"{USAGE}/{api.project}?start={day(-2)}&end={day(-1)}") == {"tenant_usage": {}}
    for wrong in (f"start={day(1)}&end={day(0)}", "start=yesterday"):
        assert api("GET", f"{USAGE}/{api.project}?{wrong}").status_code == 400
    page = api.get(f"{USAGE}/{api.project}{span}&limit=1", headers={"OpenStack-API-Version": "compute 2.40"})
    assert [each["instance_id"] for each in page["tenant_usage"]["server_usages"]] == [gone]
    following = page["tenant_usage_links"][0]["href"].removeprefix(api.root)
    page = api.get(following, headers={"OpenStack-API-Version": "compute 2.40"})
    assert [each["instance_id"] for each in page["tenant_usage"]["server_usages"]] == [there]
    assert alt("GET", f"{USAGE}/{api.project}{span}").status_code == 403
    assert api("GET", f"{USAGE}{span}").status_code == 403
    [whole] = admin.get(f"{USAGE}{span}")["tenant_usages"]
    assert (whole["tenant_id"], "server_usages" in whole) == (api.project, False)
    [whole] = admin.get(f"{USAGE}{span}&detailed=1")["tenant_usages"]
    assert len(whole["server_usages"]) == 2
    assert admin.get(f"{USAGE}/{alt.project}{span}") == {"tenant_usage": {}}
    api.remove(there)
