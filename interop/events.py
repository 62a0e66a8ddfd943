"""Read a suite's results (subunit v2) from stdin, and print each at once as a line of JSON.

    {"test": "tempest.api.….test_x[id-…]", "status": "fail", "reason": "…the last lines…", "trace": "…", "seconds": 1.5}

Runs in a suite's environment, which has subunit and testtools; the rest of the project has not.
"""

import json
import sys

import subunit
import testtools

REASON_LINES = 3


class Events(testtools.StreamResult):  # type: ignore[misc]
    """Collects what belongs to a test, and prints it at the test's end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, object] = {}
        self.attached: dict[str, dict[str, bytes]] = {}

    def status(self, test_id=None, test_status=None, file_name=None, file_bytes=None, timestamp=None, **more) -> None:  # type: ignore[no-untyped-def]
        """Called for each packet of the stream."""
        if test_id is None:
            return
        if file_name and file_bytes:
            files = self.attached.setdefault(test_id, {})
            files[file_name] = files.get(file_name, b"") + file_bytes
        if test_status == "inprogress":
            self.begun[test_id] = timestamp
        elif test_status not in (None, "exists"):
            begun = self.begun.pop(test_id, None)
            seconds = (timestamp - begun).total_seconds() if begun and timestamp else 0.0
            files = self.attached.pop(test_id, {}) if test_status != "success" else {}
            trace = "\n".join(text.decode(errors="replace") for name, text in files.items() if name != "reason")
            result = {"status": test_status, "reason": self.reason(files), "trace": trace}
            print(json.dumps({"test": test_id, **result, "seconds": round(seconds, 2)}), flush=True)

    def reason(self, files: dict[str, bytes]) -> str:
        """Why a test was skipped, or the end of its traceback."""
        if "reason" in files:
            return files["reason"].decode(errors="replace").strip()
        traces = [text for name, text in files.items() if name.startswith("traceback")]
        lines = traces[0].decode(errors="replace").strip().splitlines() if traces else []
        return "\n".join(line.strip() for line in lines[-REASON_LINES:])


if __name__ == "__main__":
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(Events())
