"""The application keeps its pictures in the embedded cloud's object store."""

import contextlib
from pathlib import Path
from urllib.parse import quote

import httpx

from faafo_lab.cloud.emulator import control
from tests.app.deployment import Deployment, a_task, done, picture
from tests.emulator.conftest import Api
from tests.waiting import wait_for


def test_pictures_go_to_the_embedded_swift_and_outlive_its_restart(tmp_path: Path) -> None:
    machine = Deployment()
    try:
        cloud = Api(control.start(tmp_path / "cloud"))
        user = f"{cloud.auth['username']}:{quote(cloud.auth['password'], safe='')}"
        address = cloud.auth["auth_url"].removeprefix("http://")
        url = f"swift+http://{user}@{address}/pictures?project=demo"
        machine.database()
        machine.messaging()
        with contextlib.closing(machine.api(FAAFO_IMAGES_URL=url)) as client:
            machine.worker("worker")
            tasks = [a_task() for _ in range(3)]
            for task in tasks:
                assert client.post("/v1/fractal", json=task).status_code == 201
            uuids = [task["uuid"] for task in tasks]
            wait_for("the fractals", lambda: done(client, uuids))
            listed = cloud.get(f"/v1/AUTH_{cloud.project}/pictures?format=json")
            assert len(listed) == 3
            assert {each["content_type"] for each in listed} == {"image/png"}
            control.stop(tmp_path / "cloud")
            assert client.get(f"/fractal/{uuids[0]}").status_code == 503
            control.start(tmp_path / "cloud")
            for task in tasks:
                assert wait_for("the picture", lambda task=task: _picture(client, task["uuid"])) == picture(task)
    finally:
        machine.close()
        control.stop(tmp_path / "cloud")


def _picture(client: httpx.Client, uuid: str) -> bytes | None:
    answer = client.get(f"/fractal/{uuid}")
    return answer.content if answer.status_code == 200 else None
