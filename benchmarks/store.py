"""Files to and from an S3 server: ours, verified by SHA-256, against what people write and what `aws s3 cp` does.

    python -m benchmarks.store [--scale full|small] [--repeats 3] [--large N]

1,000 files of 4 kB and 20 of 100 MB (small: 100 and 3), all on this machine, the server too: Ceph's RADOS gateway where
it is installed, else moto (in memory, a mock: its numbers say little). Every repeat has a new server, which bounds the
disk that is needed to six times the files (12 GB), and another order of the ways. Every measurement is a fresh process;
its clock starts with the client made and ends with the last byte acknowledged, or on the disk. Ours is what a stage run
does: `RunStore.commit`, which hashes and writes blobs and a manifest, and `RunStore.find(deep=True)`, which downloads
and hashes all again. Neither of the others hashes. `aws s3 cp --recursive` is run where the command is installed; what
it calls, boto3's transfer manager with its defaults (10 requests at a time), stands for it everywhere. Peak memory is
what a way adds to its process, of `aws` all that its own has; of ours most is parts of the files that are sent, mapped
and not copied, of which there are eight at a time, 128 MB.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from storage.runs import Manifest, RunStore
from tests.servers import ceph

ROOT = Path(__file__).resolve().parent.parent
BUCKET = "benchmark"
SIZES = {"4 kB": 4096, "100 MB": 100_000_000}
COUNTS = {"full": {"4 kB": 1000, "100 MB": 20}, "small": {"4 kB": 100, "100 MB": 3}}


def ours_put(files: Path, prefix: str) -> float:
    """Commit a stage run with these files."""
    runs = RunStore(_store(prefix), cache=Path())
    run = Manifest("benchmark", "noop", {}, 0, {}, {}, {}, (), {}, 0.0, 0.0)
    started = time.perf_counter()
    runs.commit(run, files)
    return time.perf_counter() - started


def ours_get(target: Path, prefix: str) -> float:
    """Download and verify all files of the stage run."""
    runs = RunStore(_store(prefix), cache=target)
    started = time.perf_counter()
    assert runs.find("benchmark", deep=True) is not None
    return time.perf_counter() - started


def loop_put(files: Path, prefix: str) -> float:
    """Upload one file after the other."""
    client = _client()
    started = time.perf_counter()
    for path in sorted(files.iterdir()):
        if path.stat().st_size <= SIZES["4 kB"]:
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path.name}", Body=path.read_bytes())
        else:
            client.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")
    return time.perf_counter() - started


def loop_get(target: Path, prefix: str) -> float:
    """Download one file after the other."""
    client = _client()
    started = time.perf_counter()
    for found in _listed(client, prefix):
        path = target / found["Key"].rpartition("/")[2]
        if found["Size"] <= SIZES["4 kB"]:
            path.write_bytes(client.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read())
        else:
            client.download_file(BUCKET, found["Key"], str(path))
    return time.perf_counter() - started


def manager_put(files: Path, prefix: str) -> float:
    """Hand all files to boto3's transfer manager."""
    from s3transfer.manager import TransferManager  # type: ignore[import-untyped]

    with TransferManager(_client()) as manager:
        started = time.perf_counter()
        waiting = [manager.upload(str(path), BUCKET, f"{prefix}/{path.name}") for path in sorted(files.iterdir())]
        for future in waiting:
            future.result()
        return time.perf_counter() - started


def manager_get(target: Path, prefix: str) -> float:
    """Let boto3's transfer manager fetch all files."""
    from s3transfer.manager import TransferManager

    client = _client()
    with TransferManager(client) as manager:
        started = time.perf_counter()
        keys = [found["Key"] for found in _listed(client, prefix)]
        waiting = [manager.download(BUCKET, key, str(target / key.rpartition("/")[2])) for key in keys]
        for future in waiting:
            future.result()
        return time.perf_counter() - started


def aws_put(files: Path, prefix: str) -> float:
    """Run `aws s3 cp --recursive`, its start included."""
    return _aws(str(files), f"s3://{BUCKET}/{prefix}")


def aws_get(target: Path, prefix: str) -> float:
    """Run `aws s3 cp --recursive` the other way."""
    return _aws(f"s3://{BUCKET}/{prefix}", str(target))


Way = Callable[[Path, str], float]


@dataclass(frozen=True)
class Client:
    """One way to move files; both functions take the local folder and a prefix, and return seconds."""

    name: str
    put: Way
    get: Way


WAYS: Mapping[str, Client] = {
    "ours": Client("ours, SHA-256 both ways", ours_put, ours_get),
    "loop": Client("boto3 calls in a loop", loop_put, loop_get),
    "manager": Client("boto3's transfer manager", manager_put, manager_get),
    "aws": Client("aws s3 cp --recursive", aws_put, aws_get),
}


def _store(prefix: str) -> Any:
    from storage.s3 import S3Store

    return S3Store(BUCKET, prefix)


def _client() -> Any:
    import boto3.session

    return boto3.session.Session().client("s3")


def _listed(client: Any, prefix: str) -> list[Mapping[str, Any]]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    return [found for page in pages for found in page["Contents"]]


def _aws(source: str, target: str) -> float:
    started = time.perf_counter()
    subprocess.run(["aws", "s3", "cp", "--recursive", "--only-show-errors", source, target], check=True)
    return time.perf_counter() - started


@contextmanager
def _server() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Start a server; give its name and the environment of its clients."""
    if all(shutil.which(name) for name in ceph.NEEDED):
        with ceph.running() as server:
            yield "Ceph", server.environment
        return
    from moto.server import ThreadedMotoServer

    mock = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    mock.start()
    host, port = mock.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    yield "moto", {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    mock.stop()


@dataclass(frozen=True)
class Cost:
    """What one way took."""

    seconds: float
    cpu: float
    """Seconds of processor time of the client, which on one machine is time that the server lacks."""
    peak: float
    """Memory in MB at its highest, above what the process had before the clock started; of `aws` its own process's."""


def _measured(arguments: list[str], environment: Mapping[str, str]) -> Cost:
    """Return what a fresh process says of one way."""
    command = [sys.executable, "-m", "benchmarks.store", "--measure", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _measure(way: str, action: str, folder: str, prefix: str) -> None:
    function: Way = WAYS[way].put if action == "put" else WAYS[way].get
    memory = _peak_memory()
    seconds = function(Path(folder), prefix)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    peak = used[1].ru_maxrss / 1024 if way == "aws" else _peak_memory() - memory
    print(json.dumps(asdict(Cost(seconds, cpu, peak))))


def _peak_memory() -> float:
    """Return the most memory (MB) that this program held; `getrusage` counts what the parent held at the fork too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _compare(counts: Mapping[str, int], repeats: int, home: Path) -> None:
    ways = [way for way in WAYS if way != "aws" or shutil.which("aws") is not None]
    results: dict[tuple[str, str, str], list[Cost]] = {}
    for size, count in counts.items():
        (home / size).mkdir()
        for number in range(count):
            (home / size / f"{number:04d}").write_bytes(os.urandom(SIZES[size]))
        for repeat in range(repeats):
            with _server() as (name, environment):
                _make_bucket(environment)
                for way in (*ways[repeat % len(ways) :], *ways[: repeat % len(ways)]):
                    for action in ("put", "get"):
                        cost = _cost(way, action, home / size, environment)
                        results.setdefault((size, action, way), []).append(cost)
                        print(f"{size} {action} {way}: {cost}", file=sys.stderr, flush=True)
        shutil.rmtree(home / size)
    _print_table(results, counts, name)


def _cost(way: str, action: str, files: Path, environment: Mapping[str, str]) -> Cost:
    os.sync()  # what the one before left to be written is not this one's
    with tempfile.TemporaryDirectory(dir=files.parent) as target:
        return _measured([way, action, str(files) if action == "put" else target, way], environment)


def _make_bucket(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    _client().create_bucket(Bucket=BUCKET)


def _print_table(results: Mapping[tuple[str, str, str], list[Cost]], counts: Mapping[str, int], server: str) -> None:
    print(
        f"| files | way to {server} | seconds (median) | range | MB/s | against ours | CPU seconds | peak memory, MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for size, action, way in product(counts, ("put", "get"), WAYS):
        if (costs := results.get((size, action, way))) is None:
            continue
        seconds = [cost.seconds for cost in costs]
        middle = statistics.median(seconds)
        ratio = middle / statistics.median(cost.seconds for cost in results[size, action, "ours"])
        files = f"{counts[size]:,} x {size}"
        rate = counts[size] * SIZES[size] / middle / 1e6
        print(
            f"| {files}, {action} | {WAYS[way].name} | {middle:.2f} | {min(seconds):.2f}-{max(seconds):.2f} | "
            f"{rate:.1f} | {ratio:.2f} x | "
            f"{statistics.median(cost.cpu for cost in costs):.2f} | {max(cost.peak for cost in costs):.0f} |"
        )


def main() -> None:
    """Print the table, or with `--measure` the seconds and MB of one way as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=COUNTS, default="full")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", type=int, metavar="N", help="files of 100 MB (default: 20, small 3)")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        _measure(*arguments.measure)
        return
    counts = dict(COUNTS[arguments.scale])
    if arguments.large is not None:
        counts["100 MB"] = arguments.large
    with tempfile.TemporaryDirectory(prefix="mindsweep-benchmark-") as home:
        _compare(counts, arguments.repeats, Path(home))


if __name__ == "__main__":
    main()
