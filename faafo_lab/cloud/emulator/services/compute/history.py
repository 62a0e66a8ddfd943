"""What has been done with each server (its instance actions), and what is remembered of those that are gone.

An action is what a client asked for; its event is what the cloud did about it, with its end and its result. Both are
bounded: a server's newest actions, and the servers that were deleted last.
Source: https://docs.openstack.org/api-ref/compute/#servers-actions-servers-os-instance-actions
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from faafo_lab.cloud.emulator.common.service import Request, now
from faafo_lab.cloud.emulator.common.store import Store, Table
from faafo_lab.cloud.emulator.services.compute.rows import RecordRow, ServerRow
from faafo_lab.cloud.emulator.services.compute.states import NO_STATE, Action

ACTIONS_MAX = 100  # of a server
DELETED_MAX = 500  # servers
DELETED_KEPT = 400  # of them, where there were more


def moment() -> str:
    """The moment with microseconds, as Nova's records have it: 2026-01-31T12:00:00.123456."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


class History:
    """The actions on all servers, and the rows of deleted ones."""

    def __init__(self, store: Store) -> None:
        self._actions: Table[RecordRow] = store.table("server_action")
        self._deleted: Table[ServerRow] = store.table("deleted_server")
        self._store = store

    def begin(self, request: Request, server: str, action: Action) -> None:
        """Keep that a client has asked for this. Its event, if it has one, is open until `end`."""
        begun = moment()
        event = {"event": f"compute_{action.event}", "start_time": begun, "finish_time": None, "result": None}
        record = {
            "action": action.name,
            "request_id": request.id,
            "user_id": request.token.user_id,
            "project_id": request.project,
            "start_time": begun,
            "updated_at": begun,
            "message": None,
            "event": event if action.event else None,
        }
        self._actions.put({"id": server, "actions": [*self.of(server), record][-ACTIONS_MAX:]})

    def done(self, request: Request, server: str, action: Action) -> None:
        """Keep that a client has asked for this, and that it is done."""
        with self._store.transaction():
            self.begin(request, server, action)
            self.end(server, request.id, "Success")

    def open(self, server: str) -> str | None:
        """The newest action's request id, where its event has not ended: that action runs next."""
        last = next(reversed(self.of(server)), None)
        if last is None or last["event"] is None or last["event"]["finish_time"]:
            return None
        return str(last["request_id"])

    def end(self, server: str, request_id: str | None, result: str) -> None:
        """Close the event of this action, unless it is closed: "Success" or "Error"."""
        if request_id is None or server not in self._actions:
            return
        ended = moment()
        actions = self.of(server)
        for number, record in enumerate(actions):
            event = record["event"]
            if record["request_id"] == request_id and event is not None and not event["finish_time"]:
                event = {**event, "finish_time": ended, "result": result}
                message = None if result == "Success" else "Error"
                actions[number] = {**record, "event": event, "updated_at": ended, "message": message}
                self._actions.put({"id": server, "actions": actions})

    def of(self, server: str) -> list[dict[str, Any]]:
        """A server's actions, the oldest first."""
        row = self._actions.get(server)
        return list(row["actions"]) if row else []

    def bury(self, server: ServerRow) -> None:
        """Remember a server that is deleted now."""
        gone: ServerRow = {
            **server,
            "vm_state": "deleted",
            "task_state": None,
            "power_state": NO_STATE,
            "user_data": None,
            "public_key": None,
            "terminated_at": moment(),
            "updated": now(),
        }
        with self._store.transaction():
            self._deleted.put(gone)
            if len(self._deleted) > DELETED_MAX:
                oldest = sorted(self._deleted, key=lambda row: str(row["terminated_at"]))
                for row in oldest[: len(oldest) - DELETED_KEPT]:
                    self._deleted.delete(row["id"])
                    self._actions.delete(row["id"])

    def deleted(self) -> list[ServerRow]:
        """Deleted servers, as far as they are remembered."""
        return list(self._deleted)

    def was(self, server: str) -> ServerRow | None:
        """A deleted server's row."""
        return self._deleted.get(server)
