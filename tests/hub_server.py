"""A small Hub on this machine: the routes that the real `huggingface_hub` client uses, with faults.

Repositories live in memory. What the real Hub checks is checked here too: tokens and their role, who owns a
name, the SHA-256 of what is uploaded, that a commit deletes only what is there. Large files answer with a
redirect to another host name, as the real Hub's go to a CDN, and a token that is sent there is an error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER, OTHER = "ada", "grace"
WRITE_TOKEN, READ_TOKEN, OTHER_TOKEN = "hf_writes_ada", "hf_reads_ada", "hf_writes_grace"
TOKENS = {WRITE_TOKEN: (OWNER, "write"), READ_TOKEN: (OWNER, "read"), OTHER_TOKEN: (OTHER, "write")}
LFS_FROM_BYTES = 1_000_000
NO_TAG = "0" * 40


@dataclass(frozen=True)
class Blob:
    """A file's content, and whether it is a large file (by its SHA-256) or a git blob (by its SHA-1)."""

    content: bytes
    lfs: bool

    @property
    def git_oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass
class Repo:
    """A repository: its commits in order, each with all its files, and its tags."""

    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, files: dict[str, Blob], message: str) -> str:
        made = json.dumps([len(self.commits), message, {name: blob.etag for name, blob in files.items()}])
        sha = hashlib.sha1(made.encode()).hexdigest()
        self.commits[sha] = files
        self.messages.append(message)
        return sha

    def resolve(self, revision: str) -> str | None:
        if revision in ("main", "refs/heads/main"):
            return self.head
        return self.tags.get(revision, revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of a method whose path matches."""

    method: str
    path: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    drop: str | None = None
    """`before` the request is handled, `after` it (its answer is lost), or `inside` its answer's body."""
    corrupt: bool = False
    """The body comes with other bytes in its middle."""


class Answer(Exception):  # noqa: N818
    """An HTTP answer."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers or {}
        self.body = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()


def refused(status: int, message: str, code: str | None = None, **more: Any) -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return Answer(status, {"error": message, **more}, headers)


class FakeHub:
    """The Hub's state, and what tests set up and look at."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.large_files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.tokens_at_the_cdn: list[str] = []
        self.lock = threading.RLock()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, method: str, path: str, status: int | None = None, **settings: Any) -> None:
        """Set up a fault; `path` is a regular expression that is searched for."""
        self.faults.append(Fault(method, path, status, **settings))

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Make a repository, or a commit on it, without the client; return the commit."""
        repo = self.repos.setdefault(name, Repo(private))
        blobs = {path: Blob(content, path.endswith(".safetensors")) for path, content in files.items()}
        return repo.commit(blobs, "added by a test")

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Return a repository's files as they are at a revision."""
        repo = self.repos[name]
        return {path: blob.content for path, blob in repo.commits[str(repo.resolve(revision))].items()}

    def count(self, method: str, path: str) -> int:
        """Count the requests so far whose path matches."""
        return sum(asked == method and re.search(path, where) is not None for asked, where in self.requests)

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Answers one request after another of a connection."""

    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: Any) -> None:
        """Keep the test output clean."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append((self.command, path))
        fault = self.hub.take_fault(self.command, path)
        if fault and fault.drop == "before":
            return self._hang_up()
        try:
            if fault and fault.status:
                raise Answer(fault.status, {"error": "a fault"}, fault.headers)
            with self.hub.lock:
                self._route(path, body)
        except Answer as answer:
            if fault and fault.drop == "after":
                return self._hang_up()
            self._send(answer, fault)
        return None

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        body = answer.body
        if fault and fault.corrupt:
            middle = len(body) // 2
            body = (
                body[:middle] + bytes(byte ^ 0xFF for byte in body[middle : middle + 8]) + body[middle + 8 :]
            )
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.drop == "inside":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        self.wfile.write(body)

    def _route(self, path: str, body: bytes) -> None:
        for pattern, route in ROUTES:
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                route(self, *found.groups(), **({"body": body} if self.command in ("POST", "PUT") else {}))
                raise AssertionError(f"{route.__name__} did not answer")
        raise refused(404, f"no route for {self.command} {path}")

    # Who asks ------------------------------------------------------------------------------------

    def user(self) -> tuple[str, str] | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if not token:
            return None
        if scheme != "Bearer" or token not in TOKENS:
            raise refused(401, "Invalid credentials in Authorization header")
        return TOKENS[token]

    def repo(self, name: str, *, write: bool = False) -> Repo:
        user = self.user()
        repo = self.hub.repos.get(name)
        own = user is not None and name.partition("/")[0] == user[0]
        if repo is None or (repo.private and not own):
            raise refused(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and not (own and user and user[1] == "write"):
            raise refused(403, "You don't have write access to this repository")
        return repo

    def files_at(self, name: str, revision: str) -> tuple[str, dict[str, Blob]]:
        repo = self.repo(name)
        sha = repo.resolve(revision)
        if sha is None:
            raise refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha, repo.commits[sha]

    def query(self, name: str) -> str | None:
        return parse_qs(urlsplit(self.path).query).get(name, [None])[0]

    # Routes: repositories ------------------------------------------------------------------------

    def whoami(self) -> None:
        user = self.user()
        if user is None:
            raise refused(401, "Invalid username or password.")
        access = {"role": user[1], "displayName": "a token"}
        raise Answer(200, {"type": "user", "name": user[0], "orgs": [], "auth": {"accessToken": access}})

    def create(self, *, body: bytes) -> None:
        asked, user = json.loads(body), self.user()
        if user is None:
            raise refused(401, "Invalid username or password.")
        owner = asked.get("organization") or user[0]
        name = f"{owner}/{asked['name']}"
        if owner != user[0] or user[1] != "write":
            raise refused(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
        if name in self.hub.repos:
            raise refused(409, "You already created this model repo", url=f"{self.hub.url}/{name}")
        private = asked.get("visibility") == "private" or asked.get("private") is True
        self.hub.repos[name] = Repo(private)
        self.hub.repos[name].commit({".gitattributes": Blob(b"*.safetensors filter=lfs\n", False)}, "initial")
        raise Answer(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def info(self, name: str, revision: str | None = None) -> None:
        sha, files = self.files_at(name, revision or "main")
        siblings = [{"rfilename": path, **_entry(path, blob)} for path, blob in files.items()]
        readme = files.get("README.md")
        opening, *parts = readme.content.decode().split("---\n") if readme else ["none"]
        head = yaml.safe_load(parts[0]) if parts and not opening else None
        tags = list((head or {}).get("tags", []))
        about = {"id": name, "sha": sha, "private": self.repo(name).private, "tags": tags, "cardData": head}
        raise Answer(200, {**about, "siblings": siblings, "downloads": 0, "likes": 0})

    def refs(self, name: str) -> None:
        repo = self.repo(name)
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}]
        tags = [
            {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha} for tag, sha in repo.tags.items()
        ]
        raise Answer(200, {"branches": branches, "tags": tags, "converts": []})

    def tag(self, name: str, revision: str, *, body: bytes) -> None:
        repo, tag = self.repo(name, write=True), json.loads(body)["tag"]
        if tag in repo.tags:
            raise refused(409, f"Tag reference exists already: refs/tags/{tag}")
        repo.tags[tag] = self.files_at(name, revision)[0]
        raise Answer(200)

    def tree(self, name: str, revision: str, folder: str | None = None) -> None:
        _, files = self.files_at(name, revision)
        files = {
            path: blob for path, blob in files.items() if path.startswith(f"{folder}/" if folder else "")
        }
        if folder and not files:
            raise refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        raise Answer(200, [{"type": "file", **_entry(path, blob)} for path, blob in files.items()])

    def paths_info(self, name: str, revision: str, *, body: bytes) -> None:
        _, files = self.files_at(name, revision)
        asked = parse_qs(body.decode()).get("paths", [])
        raise Answer(200, [{"type": "file", **_entry(path, files[path])} for path in asked if path in files])

    # Routes: upload ------------------------------------------------------------------------------

    def validate_yaml(self, *, body: bytes) -> None:
        head = json.loads(body)["content"].split("---\n")
        try:
            data = yaml.safe_load(head[1])
        except (IndexError, yaml.YAMLError) as error:
            raise Answer(400, {"errors": [{"message": f"Invalid card: {error}"}], "warnings": []}) from error
        wrong = [key for key in ("license", "pipeline_tag") if not isinstance(data.get(key, ""), str)]
        wrong += [key for key in ("tags", "datasets") if not isinstance(data.get(key, []), list)]
        errors = [{"message": f'"{key}" has the wrong type'} for key in wrong]
        raise Answer(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, name: str, revision: str, *, body: bytes) -> None:
        self.repo(name, write=True)
        _, files = self.files_at(name, revision)
        modes = []
        for asked in json.loads(body)["files"]:
            path, there = asked["path"], files.get(asked["path"])
            large = asked["size"] > LFS_FROM_BYTES or b"\0" in base64.b64decode(asked["sample"])
            mode = "lfs" if large or path.endswith(".safetensors") else "regular"
            oid = there.etag if there else None
            modes.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        raise Answer(200, {"files": modes})

    def lfs_batch(self, name: str, *, body: bytes) -> None:
        self.repo(name, write=True)
        objects = []
        for asked in json.loads(body)["objects"]:
            oid, size = asked["oid"], asked["size"]
            upload = {"href": f"{self.hub.url}/lfs/{oid}", "header": {}}
            verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/verify", "header": {}}
            new = oid not in self.hub.large_files
            actions = {"actions": {"upload": upload, "verify": verify}} if new else {}
            objects.append({"oid": oid, "size": size, **actions})
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str, *, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise refused(400, "the content has another SHA-256")
        self.hub.large_files[oid] = body
        raise Answer(200)

    def lfs_verify(self, name: str, *, body: bytes) -> None:
        self.repo(name, write=True)
        asked = json.loads(body)
        there = self.hub.large_files.get(asked["oid"])
        raise Answer(200 if there is not None and len(there) == asked["size"] else 404)

    def commit(self, name: str, revision: str, *, body: bytes) -> None:
        repo = self.repo(name, write=True)
        _, files = self.files_at(name, revision)
        files, message = dict(files), ""
        for line in body.decode().splitlines():
            item = json.loads(line)
            message = self._apply(item["key"], item["value"], files) or message
        sha = repo.commit(files, message)
        url = f"{self.hub.url}/{name}/commit/{sha}"
        raise Answer(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _apply(self, key: str, value: dict[str, Any], files: dict[str, Blob]) -> str | None:
        if key == "header":
            return str(value["summary"])
        if key == "file":
            files[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.large_files:
                raise refused(400, f"LFS pointer pointed to a file that does not exist: {value['oid']}")
            files[value["path"]] = Blob(self.hub.large_files[value["oid"]], lfs=True)
        elif key == "deletedFile":
            if value["path"] not in files:
                raise refused(404, "A file with this name doesn't exist", "EntryNotFound")
            del files[value["path"]]
        else:
            raise refused(400, f"unknown operation {key}")
        return None

    # Routes: download ----------------------------------------------------------------------------

    def resolve(self, name: str, revision: str, path: str) -> None:
        sha, files = self.files_at(name, revision)
        if path not in files:
            absent = refused(404, "Entry not found", "EntryNotFound")
            absent.headers["X-Repo-Commit"] = sha
            raise absent
        blob = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.etag}"'}
        if not blob.lfs:
            raise Answer(200, blob.content, headers)
        self.hub.large_files[blob.sha256] = blob.content
        size = str(len(blob.content))
        place = f"http://localhost:{self.hub.port}/cdn/{blob.sha256}"
        raise Answer(
            302, b"", headers | {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": size, "Location": place}
        )

    def cdn(self, oid: str) -> None:
        if self.headers.get("Authorization"):
            self.hub.tokens_at_the_cdn.append(oid)
        content = self.hub.large_files[oid]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not start:
            raise Answer(200, content, {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})
        first = int(start[1])
        span = f"bytes {first}-{len(content) - 1}/{len(content)}"
        raise Answer(206, content[first:], {"ETag": f'"{oid}"', "Content-Range": span})


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    lfs = {"oid": blob.sha256, "sha256": blob.sha256, "size": len(blob.content), "pointerSize": 130}
    size = len(blob.content)
    return {
        "path": path,
        "size": size,
        "oid": blob.git_oid,
        "blobId": blob.git_oid,
        **({"lfs": lfs} if blob.lfs else {}),
    }


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate_yaml),
    (rf"POST /api/models/{NAME}/preupload/(.+)", Handler.preupload),
    (rf"POST /api/models/{NAME}/commit/(.+)", Handler.commit),
    (rf"POST /api/models/{NAME}/tag/(.+)", Handler.tag),
    (rf"POST /api/models/{NAME}/paths-info/(.+)", Handler.paths_info),
    (rf"GET /api/models/{NAME}/refs", Handler.refs),
    (rf"GET /api/models/{NAME}/tree/([^/]+)(?:/(.+))?", Handler.tree),
    (rf"GET /api/models/{NAME}/revision/(.+)", Handler.info),
    (rf"GET /api/models/{NAME}", Handler.info),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    (rf"POST /{NAME}\.git/info/lfs/verify", Handler.lfs_verify),
    (r"PUT /lfs/(\w+)", Handler.lfs_put),
    (rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
    (r"(?:GET|HEAD) /cdn/(\w+)", Handler.cdn),
)


@contextmanager
def serving() -> Iterator[FakeHub]:
    """Serve an empty Hub on a free port of the loopback interface."""
    hub = FakeHub()
    handler = type("HandlerOfThisHub", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
