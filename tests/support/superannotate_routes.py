"""What the small SuperAnnotate answers: one method a question, and the table of their paths."""

from __future__ import annotations

import base64
import email.parser
import json
from typing import Any


class Routes:
    """The part of a request's handler that knows the protocol; ``self.server`` is the state.

    Every route takes (path, query, content, fault) and gives (status, answer).
    """

    server: Any
    headers: Any

    def context(self) -> dict[str, Any]:
        """The entity that the header names."""
        context: dict[str, Any] = json.loads(base64.b64decode(self.headers["x-sa-entity-context"]))
        return context

    def me(self, *_: Any) -> tuple[int, Any]:
        """The user behind a legacy token."""
        return 200, {"id": "o@x.io", "email": "o@x.io", "first_name": "O", "last_name": "X", "user_role": 2}

    def key(self, *_: Any) -> tuple[int, Any]:
        """The team behind an API key."""
        return 200, {"user": None, "token": {"scope_type": "team", "scope": {"team_id": 777}, "created_by": "o@x.io"}}

    def team(self, *_: Any) -> tuple[int, Any]:
        """The team."""
        return 200, {
            "id": 777, "name": "Team", "description": "", "type": "team", "user_role": 2, "is_default": False,
            "users": [], "pending_invitations": [], "creator_id": "o@x.io", "owner_id": "o@x.io", "scores": None,
        }  # fmt: skip

    def projects(self, path: str, query: dict[str, str], *_: Any) -> tuple[int, Any]:
        """The project, by name or among all."""
        found = (
            [self.server.project]
            if query.get("name", self.server.project["name"]) == self.server.project["name"]
            else []
        )
        return 200, {"data": found, "count": len(found)}

    def folder(self, path: str, query: dict[str, str], *_: Any) -> tuple[int, Any]:
        """One folder by name."""
        for row in self._folders():
            if row["name"] == query["name"]:
                return 200, row
        return 404, {"error": "Folder not found"}

    def folders(self, *_: Any) -> tuple[int, Any]:
        """All folders; the root among them."""
        rows = self._folders()
        return 200, {"data": rows, "count": len(rows)}

    def _folders(self) -> list[dict[str, Any]]:
        return [
            {"id": key, "name": name, "status": 1, "project_id": 11, "team_id": 777, "is_root": name == "root"}
            for key, name in self.server.folders.items()
        ]

    def workflow(self, *_: Any) -> tuple[int, Any]:
        """The statuses of the workflow."""
        rows = [{"value": i, "status": {"name": name}} for i, name in enumerate(self.server.statuses, 1)]
        return 200, {"data": rows, "count": len(rows)}

    def workflows(self, *_: Any) -> tuple[int, Any]:
        """The workflow itself."""
        return 200, {"data": [{"id": 1, "name": "System", "type": "system"}], "count": 1}

    def project_settings(self, *_: Any) -> tuple[int, Any]:
        """The settings as a bare list."""
        pairs = enumerate(self.server.settings.items())
        return 200, [{"id": i, "project_id": 11, "attribute": key, "value": value} for i, (key, value) in pairs]

    def search(self, path: str, query: dict[str, str], content: Any, fault: Any) -> tuple[int, Any]:
        """A page of items."""
        asked, folder = content["query"], self.context().get("folder_id")
        rows = [row for row in self.server.items.values() if folder in (None, row["folder_id"])]
        for condition in asked["search"].get("$and", []):
            for key, operators in condition.items():
                for operator, value in operators.items():
                    rows = [row for row in rows if (row[key] in value if operator == "$in" else row[key] == value)]
        if fault and fault.kind == "delete" and rows:
            del self.server.items[rows.pop(len(rows) // 2)["id"]]
        offset = asked["offset"]
        if fault and fault.kind == "duplicate":
            offset = max(0, offset - 3)
        page = rows[offset : offset + (asked["limit"] if not (fault and fault.kind == "short") else 3)]
        return 200, {"data": page, "count": len(rows)}

    def method(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """How annotations are to be fetched: in two groups."""
        ids = [item_id for item_id in content["item_ids"] if item_id not in self.server.large]
        half = (len(ids) + 1) // 2
        groups = {str(i): group for i, group in enumerate((ids[:half], ids[half:])) if group}
        small = {key: {"data": [{"id": item_id} for item_id in group]} for key, group in groups.items()}
        return 200, {"small": small, "large": [{"id": i} for i in content["item_ids"] if i in self.server.large]}

    def synced(self, *_: Any) -> tuple[int, Any]:
        """How far a large annotation has been prepared."""
        return 200, {"status": self.server.sync}

    def download_large(self, path: str, *_: Any) -> tuple[int, Any]:
        """One large annotation, whole."""
        return 200, self.server.annotations[int(path.split("/")[5])]

    def download(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """The annotations, as a stream."""
        return 200, [self.server.annotations[i] for i in content["image_ids"] if i in self.server.annotations]

    def entropy(self, path: str, query: dict[str, str], content: Any, fault: Any) -> tuple[int, Any]:
        """Priorities by name in a folder; unknown names are passed over."""
        assert 1 <= len(content["image_entropies"]) <= 100
        if fault and fault.kind == "delete":
            self.delete(content["image_entropies"][0]["name"])
        done = []
        for item in self._named(int(query["folder_id"]), {row["name"] for row in content["image_entropies"]}):
            value = next(row["entropy_value"] for row in content["image_entropies"] if row["name"] == item["name"])
            item["entropy_value"] = value if self.server.decimals is None else round(value, self.server.decimals)
            item["updatedAt"] = self.server.tick()
            self.server.given.append((item["id"], value))
            done.append({"name": item["name"]})
        return 200, {"data": done}

    def delete(self, name: str) -> None:
        """An item goes away in between."""
        for item_id in [key for key, item in self.server.items.items() if item["name"] == name]:
            del self.server.items[item_id]

    def assignment(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """Items given to one person."""
        assert content["image_names"]
        folder = next(key for key, name in self.server.folders.items() if name == content["folder_name"])
        rows = self._named(folder, set(content["image_names"]))
        for item in rows:
            item["assignments"] = [{"user_id": content["assign_user_id"], "user_role": 1}]
            item["updatedAt"] = self.server.tick()
        return 200, {"successCount": len(rows)}

    def status(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """A status for some items."""
        assert content["image_names"]
        for item in self._named(content["folder_id"], set(content["image_names"])):
            item["annotation_status"] = content["annotation_status"]
        return 200, {}

    def _named(self, folder: int, names: set[str]) -> list[dict[str, Any]]:
        return [row for row in self.server.items.values() if row["folder_id"] == folder and row["name"] in names]

    def annotation_classes(self, *_: Any) -> tuple[int, Any]:
        """The classes."""
        rows = [
            {"id": i, "project_id": 11, "name": name, "color": "#FF0000", "type": 1, "attribute_groups": []}
            for i, name in enumerate(self.server.classes, 1)
        ]
        return 200, {"data": rows, "count": len(rows)}

    def schema(self, *_: Any) -> tuple[int, Any]:
        """The schema that the SDK checks uploads with: anything goes."""
        return 200, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}

    def upload(self, path: str, query: dict[str, str], content: bytes, *_: Any) -> tuple[int, Any]:
        """Pre-annotations, one part an item."""
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        for part in email.parser.BytesParser().parsebytes(kind + content).get_payload():
            document = json.loads(part.get_payload(decode=True))["data"]
            self.server.uploaded[document["metadata"]["name"]] = document
        resources: dict[str, list[str]] = {"class": [], "template": [], "attribute": [], "attributeGroup": []}
        return 200, {"failedItems": [], "missingResources": resources}

    def valid(self, *_: Any) -> tuple[int, Any]:
        """Every query is valid."""
        return 200, {"isValidQuery": True, "parsedQuery": "_"}

    def list_subsets(self, *_: Any) -> tuple[int, Any]:
        """The subsets; their position is their id."""
        rows = [{"id": i, "name": name} for i, name in enumerate(self.server.subsets)]
        return 200, {"data": rows, "count": len(rows)}

    def make_subsets(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """New subsets."""
        for name in content["names"]:
            self.server.subsets[name] = set()
        return 200, [{"id": list(self.server.subsets).index(name), "name": name} for name in content["names"]]

    def change_subset(self, path: str, query: dict[str, str], content: Any, *_: Any) -> tuple[int, Any]:
        """Items into a subset."""
        list(self.server.subsets.values())[int(query["subset_id"])].update(content["item_ids"])
        return 200, {"skipped": [], "failed": []}

    def token_of_image(self, path: str, *_: Any) -> tuple[int, Any]:
        """Where an uploaded image can be fetched."""
        item_id = path.split("/")[2]
        return 200, {"original": {"url": f"{self.server.url}/photos/{item_id}.jpg", "headers": {}}}


ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "/user/ME", "", Routes.me),
    ("POST", "/wm/api/v1/users/me", "", Routes.key),
    ("GET", "/api/v1/team/", "", Routes.team),
    ("GET", "/api/v1/projects", "", Routes.projects),
    ("GET", "/folder/getFolderByName", "", Routes.folder),
    ("POST", "/wm/api/v1/folders/search", "", Routes.folders),
    ("GET", "/wm/api/v1/workflows/", "workflowstatuses", Routes.workflow),
    ("GET", "/wm/api/v1/workflows", "", Routes.workflows),
    ("GET", "/project/", "/settings", Routes.project_settings),
    ("POST", "/item/api/v1/items/search", "", Routes.search),
    ("POST", "/assets/api/v4/items/annotations/download/method", "", Routes.method),
    ("POST", "/assets/api/v4/items/annotations/download", "", Routes.download),
    ("POST", "/assets/api/v4/items/", "/annotations/sync", Routes.synced),
    ("GET", "/assets/api/v4/items/", "/annotations/sync/status", Routes.synced),
    ("POST", "/assets/api/v3.01/items/", "/annotations/download", Routes.download_large),
    ("GET", "/assets/api/v4/items/annotations/schema", "", Routes.schema),
    ("POST", "/assets/api/v4/items/annotations/upload", "", Routes.upload),
    ("POST", "/images/updateEntropy", "", Routes.entropy),
    ("PUT", "/images/editAssignment/", "", Routes.assignment),
    ("PUT", "/image/updateAnnotationStatusBulk", "", Routes.status),
    ("GET", "/classes", "", Routes.annotation_classes),
    ("POST", "/explore/api/v1/items/parse/query", "", Routes.valid),
    ("GET", "/explore/api/v1/subsets", "", Routes.list_subsets),
    ("POST", "/explore/api/v1/subsets/change", "", Routes.change_subset),
    ("POST", "/explore/api/v1/subsets", "", Routes.make_subsets),
    ("GET", "/image/", "getAnnotationDownloadToken", Routes.token_of_image),
]
