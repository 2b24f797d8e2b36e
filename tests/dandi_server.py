"""The DANDI archive as its REST API is seen from outside: dandisets, versions, pages of assets, and a bucket."""

import dataclasses
import functools
import hashlib
import json
import uuid

from archive_server import Archive

SHA256, ETAG = "dandi:sha2-256", "dandi:dandi-etag"
DANDISET = "000713"


@dataclasses.dataclass(frozen=True)
class Kept:
    """An asset: its file, the hashes that the archive has of it, and those of them that its lists tell."""

    path: str
    content: bytes = b""
    measured: tuple = ("ProcessingModule", "Units")
    known: tuple = (SHA256, ETAG)
    listed: tuple = (ETAG,)
    size: int | None = None

    @property
    def asset_id(self):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.path))

    def metadata(self, hashes):
        etag = f"{hashlib.md5(hashlib.md5(self.content).digest()).hexdigest()}-1"
        values = {SHA256: hashlib.sha256(self.content).hexdigest(), ETAG: etag}
        measured = [{"schemaKey": "PropertyValue", "value": one} for one in self.measured]
        return {"path": self.path, "digest": {name: values[name] for name in hashes}, "variableMeasured": measured}

    def row(self):
        return {
            "asset_id": self.asset_id,
            "blob": self.asset_id[::-1],
            "zarr": None,
            "path": self.path,
            "size": len(self.content) if self.size is None else self.size,
            "created": "2024-06-28T00:00:00Z",
            "modified": "2024-07-02T00:00:00Z",
            "metadata": self.metadata(self.listed),
        }


class Dandi(Archive):
    """Serves ``files``, here version -> assets of the one dandiset there is; blobs from a host of another name."""

    @property
    def api(self):
        return f"{self.url}/api"

    @functools.cached_property
    def assets(self):
        return {asset.asset_id: asset for assets in self.files.values() for asset in assets}

    def elsewhere(self, path):
        if path.startswith("/api/assets/") and path.endswith("/download/"):
            blob = path.split("/")[3]
            return f"{self.url.replace('localhost', '127.0.0.1')}/blobs/{blob}" if blob in self.assets else None
        return None

    def find(self, path, query):
        if path.startswith("/blobs/"):
            return self.assets[path.split("/")[2]].content
        found = self.answer_of(path.removeprefix("/api/").rstrip("/").split("/"), query)
        return found if found is None or isinstance(found, bytes) else json.dumps(found).encode()

    def answer_of(self, parts, query):
        match parts:
            case ["assets", asset_id] if asset_id in self.assets:
                return self.assets[asset_id].metadata(self.assets[asset_id].known)
            case ["dandisets", identifier] if identifier == DANDISET:
                published = [{"version": version} for version in self.files if version != "draft"]
                newest = published[-1] if published else None
                return {"most_recent_published_version": newest, "draft_version": {"version": "draft"}}
            case ["dandisets", identifier, "versions"] if identifier == DANDISET:
                return {"next": None, "results": [{"version": version} for version in self.files]}
            case ["dandisets", identifier, "versions", version, "assets"] if identifier == DANDISET:
                return self.page(version, query) if version in self.files else None
        return None

    def page(self, version, query):
        size, number = (int(query.get(key, [default])[0]) for key, default in (("page_size", 100), ("page", 1)))
        assets = self.files[version]
        more = f"{self.api}/dandisets/{DANDISET}/versions/{version}/assets/?page={number + 1}&page_size={size}"
        return {
            "count": len(assets),
            "next": more if number * size < len(assets) else None,
            "previous": None,
            "results": [asset.row() for asset in assets[(number - 1) * size : number * size]],
        }
