"""The files of deploy/: they parse, name the versions of the lock, keep ports and secrets to themselves, and do what
their comments say as far as that shows without a cluster. What was run for real is in deploy/README.md."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
LOCK = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if "==" in line
)
SECRETS = {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return loaded


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, as (name, arguments), continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["spec"]["containers"]
    return found


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def test_the_ray_cluster_has_the_fields_that_kuberay_needs() -> None:
    cluster = load("kubernetes/raycluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert cluster["spec"]["rayVersion"] == LOCK["ray"]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    for group in groups(cluster):
        (container,) = containers(group["template"])
        assert container["resources"]["requests"] == container["resources"]["limits"], (
            "else Kubernetes may take it back"
        )
        assert not container["image"].endswith("latest")
        assert ":" in container["image"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in group["template"]["spec"]["volumes"]}
    head, *workers = groups(cluster)
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert all(worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"] for worker in workers)


def test_no_manifest_holds_a_secret() -> None:
    for group in groups(load("kubernetes/raycluster.yaml")):
        (container,) = containers(group["template"])
        assert container["envFrom"] == [{"secretRef": {"name": "mindsweep-s3"}}]
        assert not {entry["name"] for entry in container["env"]} & SECRETS


def test_the_ray_job_runs_on_that_cluster_and_keeps_nothing_in_the_pod() -> None:
    job, cluster = load("kubernetes/rayjob.yaml"), load("kubernetes/raycluster.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    entrypoint = job["spec"]["entrypoint"]
    (file,) = re.findall(r"platform\.sweep (\S+)", entrypoint)
    assert (ROOT / file).is_file()
    assert "--store s3://" in entrypoint
    assert "--tracking http" in entrypoint
    assert "runtimeEnvYAML" not in job["spec"], "its variables are shown to whoever can read jobs: no place for secrets"


def test_compose_starts_in_order_and_opens_nothing_beyond_this_machine() -> None:
    services = load("compose.yaml")["services"]
    assert set(services) == {"postgres", "s3", "bucket", "mlflow"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert name == "bucket" or service["healthcheck"]["test"][0] == "CMD", name
        for needed, how in service.get("depends_on", {}).items():
            ends_by_itself = "healthcheck" not in services[needed]
            expected = "service_completed_successfully" if ends_by_itself else "service_healthy"
            assert how == {"condition": expected}, (name, needed)


def test_compose_takes_every_secret_from_the_environment_and_starts_without_none() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"(?<!\$)\$\{([^}]*)\}", text))
    assert {name.partition(":?")[0] for name in used} == SECRETS
    assert all(":?" in name for name in used), "no default password"


def test_versions_are_those_of_the_lock_or_pinned() -> None:
    services = load("compose.yaml")["services"]
    images = [service["image"] for service in services.values() if "image" in service]
    built = services["mlflow"]["build"]["dockerfile_inline"]
    images += [text for name, text in instructions(built + (DEPLOY / "Dockerfile").read_text()) if name == "FROM"]
    assert all(re.search(r":\S*\d+[.-]\d+", image) for image in images), images
    pinned = dict(re.findall(r"([a-z0-9-]+)==([\w.]+)", built))
    assert set(pinned) == {"mlflow", "psycopg2-binary", "boto3"}
    assert {name: version for name, version in pinned.items() if LOCK.get(name, version) != version} == {}


def test_the_image_installs_torch_first_and_runs_without_privileges() -> None:
    steps = instructions((DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert {name for name, _ in steps} <= {"FROM", "RUN", "WORKDIR", "ENV", "COPY", "ARG", "USER"}
    installs = [text for name, text in steps if name == "RUN" and "pip install" in text]
    assert installs == ["pip install \"$(grep '^torch==' requirements.lock)\"", "pip install -r requirements.lock"]
    assert steps[-1] == ("USER", "1000")
    copied = [text.split()[0] for name, text in steps if name == "COPY"]
    assert all((ROOT / source).exists() for source in copied)
    sent = re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sent) == sorted(copied)


@pytest.mark.parametrize("script", ["deploy/slurm.sh", "deploy/lock.sh", ".ci/run"])
def test_shell_scripts_are_sound(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; bash -n found nothing")
    done = subprocess.run(["shellcheck", ROOT / script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class Slurm:
    """A SLURM of shell scripts: `srun` runs its command here, and everything that is called is written down."""

    def __init__(self, folder: Path, driver: str) -> None:
        self.folder = folder
        self.log = folder / "log"
        for place in ("bin", ".venv/bin"):
            (folder / place).mkdir(parents=True)
        self._write("bin/scontrol", "printf 'n1\\nn2\\nn3\\n'")
        self._write("bin/hostname", "echo 127.0.0.1")
        call = 'echo "srun $*" >> log\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"'
        self._write("bin/srun", call)
        start = 'start) echo "token ${#RAY_AUTH_TOKEN} $RAY_AUTH_MODE" >> log; exec sleep 60;;'
        health = 'health-check) grep -q "^ray start --head" log;;'
        self._write(".venv/bin/ray", f'echo "ray $*" >> log\ncase $1 in {start} {health} esac')
        joined = '[[ $1 == - ]] && { until grep -q "^ray start --block --address" log; do sleep 0.05; done; exit 0; }'
        self._write(".venv/bin/python", f'echo "python $*" >> log\n{joined}\n{driver}')

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        variables = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "SLURM_SUBMIT_DIR": str(self.folder),
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_JOB_NUM_NODES": "3",
            "SLURM_JOB_NODELIST": "n[1-3]",
            "SLURM_JOB_ID": "4711",
        }
        command = ["bash", str(DEPLOY / "slurm.sh"), *arguments]
        return subprocess.Popen(command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def calls(self, start: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(start)]


def test_the_slurm_script_starts_a_head_and_the_other_nodes_then_the_driver(tmp_path: Path) -> None:
    slurm = Slurm(tmp_path, driver="exit 3")
    process = slurm.start("search_spaces/cmg.yaml", "--home", "/shared/runs")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 3, output
    (head,) = slurm.calls("ray start --head")
    assert "--node-ip-address=127.0.0.1 --port=24711 --num-cpus=8" in head
    (others,) = [call for call in slurm.calls("srun") if "--address=" in call]
    assert "--nodes=2 --ntasks=2" in others
    assert "--exclude=n1" in others
    assert "--address=127.0.0.1:24711" in others
    assert set(slurm.calls("token")) == {"token 64 token"}
    assert slurm.calls("python -m") == [
        "python -m platform.sweep search_spaces/cmg.yaml --home /shared/runs --address 127.0.0.1:24711"
    ]


def test_the_slurm_script_lets_the_driver_stop_in_order(tmp_path: Path) -> None:
    slurm = Slurm(tmp_path, driver="trap 'sleep 0.3; exit 130' TERM\ntouch began\nwhile true; do sleep 0.05; done")
    process = slurm.start("search_spaces/cmg.yaml")
    deadline = time.monotonic() + 30
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
