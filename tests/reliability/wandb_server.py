"""A minimal W&B server in this process, which can be switched off and on."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RUN = {"id": "run", "displayName": "run", "config": "{}", "tags": [], "logLineCount": 0}
PROJECT = {"id": "project", "name": "project", "entity": {"id": "entity", "name": "entity"}}
VIEWER = {
    **{"id": "user", "entity": "entity", "username": "user", "email": "user@example.org"},
    **{"flags": "{}", "teams": {"edges": []}},
}
# As if it were there already: no file of it is asked for.
ARTIFACT = {"id": "artifact", "state": "COMMITTED", "artifactSequence": {"id": "sequence"}}


class WandbServer:
    """Keeps the lines of one run's history; it can be switched off, and on again.

    Args:
        takes_artifacts: Whether it knows of artifacts, which tables are.

    Attributes:
        lines: What was uploaded, by its place in the history, as in W&B's database.
        runs: Ids of the runs that were begun or continued.
    """

    def __init__(self, takes_artifacts: bool = True) -> None:
        self._takes_artifacts = takes_artifacts
        self.lines: dict[int, dict[str, Any]] = {}
        self.runs: set[str] = set()
        self._summary = "{}"
        self._server: ThreadingHTTPServer | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, oldest first."""
        return [self.lines[place] for place in sorted(self.lines)]

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary."""
        return json.loads(self._summary)

    def switch_on(self) -> str:
        """Answer on a free port from now on; returns the address."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = self.rfile.read(int(self.headers["Content-Length"]))
                is_telemetry = self.path.startswith("/sdk/")  # of no interest, and no JSON
                answer = {} if is_telemetry else server.answer(self.path, json.loads(request))
                content = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def switch_off(self) -> None:
        """Refuse all connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request, as far as W&B's client looks at answers."""
        if path.endswith("file_stream"):
            self._keep(request.get("files", {}))
            return {}
        asked = request.get("operationName")
        if asked == "Viewer":
            return {"data": {"viewer": VIEWER}}
        if self._takes_artifacts and "query ArtifactType" in request.get("query", ""):
            return {"data": {"project": None}}  # W&B then goes by the name that it was given
        if asked == "CreateArtifact":
            return {"data": {"createArtifact": {"artifact": ARTIFACT}}}
        if asked == "UpsertBucket":
            name = request["variables"]["name"]
            self.runs.add(name)
            bucket = {**RUN, "name": name, "project": PROJECT}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": not self.lines}}}
        if asked == "RunResumeStatus" and self.lines:
            bucket = {
                **RUN,
                "name": request["variables"]["name"],
                "summaryMetrics": self._summary,
                "historyLineCount": max(self.lines) + 1,
                "historyTail": json.dumps([json.dumps(self.rows[-1])]),
                "eventsLineCount": 0,
                "eventsTail": "[]",
                "wandbConfig": '{"t": 1}',
            }
            return {"data": {"model": {**PROJECT, "bucket": bucket}}}
        if asked == "CreateRunFiles":
            return {"data": {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": []}}}
        return {"data": {}}

    def _keep(self, files: dict[str, Any]) -> None:
        history = files.get("wandb-history.jsonl")
        if history:
            for place, line in enumerate(history["content"], start=history["offset"]):
                self.lines[place] = json.loads(line)
        if "wandb-summary.json" in files:
            self._summary = files["wandb-summary.json"]["content"][-1]
