"""The application keeps its pictures in the embedded cloud's object store."""

import contextlib

import httpx

from tests.app.deployment import Deployment, a_task, done, picture
from tests.app.object_store import running
from tests.waiting import wait_for


def test_pictures_go_to_the_embedded_swift_and_outlive_its_restart() -> None:
    machine = Deployment()
    try:
        machine.database()
        machine.messaging()
        with running() as store, contextlib.closing(machine.api(FAAFO_IMAGES_URL=store.url("pictures"))) as client:
            machine.worker("worker")
            tasks = [a_task() for _ in range(3)]
            for task in tasks:
                assert client.post("/v1/fractal", json=task).status_code == 201
            uuids = [task["uuid"] for task in tasks]
            wait_for("the fractals", lambda: done(client, uuids))
            listed = store.api.get(f"{store.path('pictures')}?format=json")
            assert len(listed) == 3
            assert {each["content_type"] for each in listed} == {"image/png"}
            store.stop()
            assert client.get(f"/fractal/{uuids[0]}").status_code == 503
            store.start()
            for task in tasks:
                assert wait_for("the picture", lambda task=task: _picture(client, task["uuid"])) == picture(task)
    finally:
        machine.close()


def _picture(client: httpx.Client, uuid: str) -> bytes | None:
    answer = client.get(f"/fractal/{uuid}")
    return answer.content if answer.status_code == 200 else None
