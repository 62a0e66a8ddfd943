"""Clients that make and delete resources without end, and know what they have been promised: a class a kind.

Every change is written down before it is asked for, and again when it is acknowledged. So after a kill there are three
sorts: what must be there, what must be gone, and what nobody knows, which is there whole or not at all. To load another
service, write a class with `make`, `remove` and `listed`, and name it in LOADS.
"""

from __future__ import annotations

import hashlib
import random
import threading
from typing import Any, ClassVar

import httpx

from tests.waiting import LOOK_SECONDS

from .conftest import Api


class Interrupted(Exception):
    """The emulator has been killed while it worked on a request."""


class Client:
    """A connection that tells refusals, which are mistakes of the test, from the emulator's end."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._http = httpx.Client(base_url=api.root, headers={"X-Auth-Token": api.token}, trust_env=False, timeout=30)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **({} if body is None else {"json": body}), **more)
        except httpx.TransportError as error:
            raise Interrupted from error
        assert answer.status_code < 500, answer.text
        return answer

    def close(self) -> None:
        self._http.close()


class Load(threading.Thread):
    """One kind of resource, made and deleted in a thread of its own until it is interrupted."""

    kind: ClassVar[str]
    service: ClassVar[str] = "network"  # its type in the catalogue: a cloud without it has no such load
    most: ClassVar[int] = 12  # so many at once

    def __init__(self, ledger: Ledger, api: Api, seed: str) -> None:
        super().__init__(name=self.kind)
        self.ledger, self.api, self.random = ledger, api, random.Random(seed)
        self.client = Client(api)
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                self._step()
        except Interrupted:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.client.close()

    def _step(self) -> None:
        sure = list(self.ledger.sure)
        if len(sure) < 2 or (len(sure) < self.most and self.random.random() < 0.6):
            name = self.ledger.begin()
            self.ledger.acknowledge(name, self.make(name))
        else:
            name = self.random.choice(sure)
            fact = self.ledger.give_up(name)
            self.remove(name, fact)
            self.ledger.forget(name)

    def answer(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What a request answers, which must succeed."""
        answer = self.client(method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def wait_for_room(self, path: str, name: str) -> None:
        """What is still being deleted counts for the quota: don't be faster than that."""
        while len(self.answer("GET", path)[name]) > self.most + 2 and not self.ended.wait(LOOK_SECONDS):
            pass

    def make(self, name: str) -> Any:
        """Make one; returns when all of it is acknowledged, with what `listed` must say of it."""
        raise NotImplementedError

    def remove(self, name: str, fact: Any) -> None:
        """Delete one; returns when that is acknowledged."""
        raise NotImplementedError

    def listed(self) -> dict[str, Any]:
        """All that there are, by name, and what is to be compared of each."""
        raise NotImplementedError

    def whole(self, name: str, fact: Any) -> bool:
        """Whether one that nobody has acknowledged is one that could have been."""
        return True


class Ledger:
    """What has been promised of a kind; it outlives the loads."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sure: dict[str, Any] = {}
        self.unsure: set[str] = set()
        self.acknowledged = 0
        self._number = 0

    def begin(self) -> str:
        self._number += 1
        name = f"{self.kind}-{self._number}"
        self.unsure.add(name)
        return name

    def acknowledge(self, name: str, fact: Any) -> None:
        self.sure[name] = fact
        self.unsure.discard(name)
        self.acknowledged += 1

    def give_up(self, name: str) -> Any:
        self.unsure.add(name)
        return self.sure.pop(name)

    def forget(self, name: str) -> None:
        self.unsure.discard(name)
        self.acknowledged += 1

    def compare(self, load: Load) -> None:
        """Hold what there is against what was promised; what was open is settled then, one way or the other."""
        there = load.listed()
        lost = {name for name, fact in self.sure.items() if there.get(name) != fact}
        assert not lost, f"{self.kind}: lost or changed: {[(name, self.sure[name], there.get(name)) for name in lost]}"
        unknown = set(there) - set(self.sure) - self.unsure
        assert not unknown, f"{self.kind}: deleted, and there again: {unknown}"
        for name in self.unsure & set(there):
            assert load.whole(name, there[name]), f"{self.kind}: half-made: {name}: {there[name]}"
            self.sure[name] = there[name]
        self.unsure.clear()


class Groups(Load):
    """Security groups with two rules each, made by three requests; a group has its own two rules from the start."""

    kind = "group"

    def make(self, name: str) -> Any:
        group = self.answer("POST", "/networking/v2.0/security-groups", {"security_group": {"name": name}})
        id = group["security_group"]["id"]
        rule = {"security_group_id": id, "direction": "ingress", "protocol": "tcp"}
        ports = [{**rule, "port_range_min": port, "port_range_max": port} for port in (22, 80)]
        self.answer("POST", "/networking/v2.0/security-group-rules", {"security_group_rules": ports})
        return (id, 4)

    def remove(self, name: str, fact: Any) -> None:
        self.answer("DELETE", f"/networking/v2.0/security-groups/{fact[0]}")

    def listed(self) -> dict[str, Any]:
        groups = self.answer("GET", "/networking/v2.0/security-groups")["security_groups"]
        return {
            each["name"]: (each["id"], len(each["security_group_rules"]))
            for each in groups
            if each["name"] != "default"
        }

    def whole(self, name: str, fact: Any) -> bool:
        return fact[1] in (2, 4)  # both rules were one request


class FloatingIps(Load):
    """Ports with a floating IP each."""

    kind = "floating"

    def make(self, name: str) -> Any:
        networks = {each["name"]: each["id"] for each in self.answer("GET", "/networking/v2.0/networks")["networks"]}
        network, public = networks["private"], networks["public"]
        port = self.answer("POST", "/networking/v2.0/ports", {"port": {"name": name, "network_id": network}})["port"]
        wanted = {"floating_network_id": public, "port_id": port["id"]}
        floating = self.answer("POST", "/networking/v2.0/floatingips", {"floatingip": wanted})["floatingip"]
        return (port["id"], port["fixed_ips"][0]["ip_address"], floating["floating_ip_address"])

    def remove(self, name: str, fact: Any) -> None:
        floating = self.answer("GET", f"/networking/v2.0/floatingips?port_id={fact[0]}")["floatingips"]
        for each in floating:
            self.answer("DELETE", f"/networking/v2.0/floatingips/{each['id']}")
        self.answer("DELETE", f"/networking/v2.0/ports/{fact[0]}")

    def listed(self) -> dict[str, Any]:
        floating = self.answer("GET", "/networking/v2.0/floatingips")["floatingips"]
        by_port = {each["port_id"]: each["floating_ip_address"] for each in floating}
        assert len(by_port) == len(floating)
        assert None not in by_port
        ports = self.answer("GET", "/networking/v2.0/ports")["ports"]
        mine = [each for each in ports if each["name"].startswith(self.kind)]
        assert {each["port_id"] for each in floating} <= {each["id"] for each in mine}
        return {
            each["name"]: (each["id"], each["fixed_ips"][0]["ip_address"], by_port.get(each["id"])) for each in mine
        }


class Images(Load):
    """Images of up to half a megabyte: one is acknowledged when its data is."""

    kind, service = "image", "image"

    def make(self, name: str) -> Any:
        wanted = {"name": name, "disk_format": "raw", "container_format": "bare"}
        image = self.answer("POST", "/image/v2/images", wanted)
        data = self.random.randbytes(self.random.randrange(1 << 19))
        headers = {"Content-Type": "application/octet-stream"}
        self.answer("PUT", f"/image/v2/images/{image['id']}/file", content=data, headers=headers)
        return (image["id"], "active", hashlib.md5(data, usedforsecurity=False).hexdigest())

    def remove(self, name: str, fact: Any) -> None:
        self.answer("DELETE", f"/image/v2/images/{fact[0]}")

    def listed(self) -> dict[str, Any]:
        images = self.answer("GET", f"/image/v2/images?owner={self.api.project}&limit=1000")["images"]
        found = {each["name"]: (each["id"], each["status"], self._digest(each)) for each in images}
        files = {each.name for each in (self.api.running.state_dir / "images").iterdir()}
        everything = self.answer("GET", "/image/v2/images?limit=1000")["images"]
        active = {each["id"] for each in everything if each["status"] == "active"}
        assert active <= files <= {each["id"] for each in everything}
        return found

    def _digest(self, image: Any) -> str | None:
        data = self.client("GET", f"/image/v2/images/{image['id']}/file").content
        return hashlib.md5(data, usedforsecurity=False).hexdigest() if image["status"] == "active" else None

    def whole(self, name: str, fact: Any) -> bool:
        checksum = self.answer("GET", f"/image/v2/images/{fact[0]}")["checksum"]
        return fact[1] in ("queued", "active") and checksum == fact[2]


class Servers(Load):
    """Servers; an accepted one may be building still when the kill comes."""

    kind, service = "server", "compute"
    most = 3

    def make(self, name: str) -> Any:
        self.wait_for_room("/compute/v2.1/servers", "servers")
        image = self.answer("GET", "/image/v2/images?name=plain-linux")["images"][0]["id"]
        wanted = {"name": name, "imageRef": image, "flavorRef": "1", "metadata": {"name": name}}
        id = self.answer("POST", "/compute/v2.1/servers", {"server": wanted})["server"]["id"]
        return (id, name)

    def remove(self, name: str, fact: Any) -> None:
        self.answer("DELETE", f"/compute/v2.1/servers/{fact[0]}")

    def listed(self) -> dict[str, Any]:
        """Those that nobody deletes; a deletion that was accepted goes on."""
        servers = self.answer("GET", "/compute/v2.1/servers/detail")["servers"]
        return {
            each["name"]: (each["id"], each["metadata"]["name"])
            for each in servers
            if each["OS-EXT-STS:task_state"] != "deleting"
        }


class Objects(Load):
    """Objects of up to half a megabyte, each in a container of its own."""

    kind, service = "object", "object-store"

    def _url(self, name: str) -> str:
        return f"/v1/AUTH_{self.api.project}/{name}"

    def make(self, name: str) -> Any:
        data = self.random.randbytes(self.random.randrange(1 << 19))
        for path, content in ((name, b""), (f"{name}/data", data)):
            assert self.client("PUT", self._url(path), content=content).status_code in (201, 202)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def remove(self, name: str, fact: Any) -> None:
        for path in (f"{name}/data", name):
            assert self.client("DELETE", self._url(path)).status_code in (204, 404)  # 404: half of it was done before

    def listed(self) -> dict[str, Any]:
        found = {}
        for container in self.client("GET", self._url("?format=json")).json():
            answer = self.client("GET", self._url(f"{container['name']}/data"))
            digest = hashlib.md5(answer.content, usedforsecurity=False).hexdigest()
            assert answer.status_code == 404 or answer.headers["ETag"] == digest
            found[container["name"]] = digest if answer.status_code == 200 else None
        return found


class Volumes(Load):
    """Volumes; an accepted one is available before long."""

    kind, service = "volume", "block-storage"
    most = 6

    def make(self, name: str) -> Any:
        self.wait_for_room(f"/volume/v3/{self.api.project}/volumes", "volumes")
        wanted = {"volume": {"name": name, "size": 1, "metadata": {"name": name}}}
        return (self.answer("POST", f"/volume/v3/{self.api.project}/volumes", wanted)["volume"]["id"], name)

    def remove(self, name: str, fact: Any) -> None:
        while True:
            answer = self.client("DELETE", f"/volume/v3/{self.api.project}/volumes/{fact[0]}")
            if answer.status_code != 400:  # 400: it is being made
                assert answer.status_code == 202, answer.text
                return

    def listed(self) -> dict[str, Any]:
        volumes = self.answer("GET", f"/volume/v3/{self.api.project}/volumes/detail")["volumes"]
        assert not [each for each in volumes if each["status"].startswith("error")]
        return {
            each["name"]: (each["id"], each["metadata"]["name"]) for each in volumes if each["status"] != "deleting"
        }


LOADS: tuple[type[Load], ...] = (Groups, FloatingIps, Images, Servers, Objects, Volumes)
