"""What lies in a store: only the formats that hold data and can hold nothing that runs."""

import io
import json
import pickletools
import zipfile

from storage.base import Store


def unlike_data(store: Store) -> list[str]:
    """Return every key of `store` that is a pickle, or of no format that we write, with what it is."""
    found = {key: kind_of(store.get(key)) for key in store.list("")}
    return [
        f"{key}: {kind}" for key, kind in found.items() if kind not in ("json", "parquet", "png", "safetensors", "html")
    ]


def kind_of(data: bytes) -> str:
    """Tell what stored bytes are; anything that is of no known format is told by its beginning."""
    if is_pickle(data):
        return "pickle"
    if data[:4] == data[-4:] == b"PAR1":
        return "parquet"
    if data.startswith(b"\x89PNG"):
        return "png"
    if len(data) > 8 and data[8:9] == b"{" and 0 < int.from_bytes(data[:8], "little") < len(data):
        return "safetensors"
    try:
        text = data.decode()
        json.loads(text)
    except UnicodeDecodeError:
        return f"unknown: {data[:16]!r}"
    except ValueError:
        return "html" if text.lstrip().startswith("<") else f"unknown: {text[:16]!r}"
    return "json"


def is_pickle(data: bytes) -> bool:
    """Tell whether `data` is a pickle, or an archive that may hold one, as torch.save writes."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        return True
    try:
        return data[:1] == b"\x80" and any(operation.name == "STOP" for operation, *_ in pickletools.genops(data))
    except ValueError:
        return False
