#!/usr/bin/env bash
# A study on nodes that SLURM grants. From the project's root, with .venv set up (make) on a file system that all nodes see:
#   sbatch --nodes=4 deploy/slurm.sh search_spaces/cmg.yaml --home /shared/runs
# All arguments go to `python -m platform.sweep` (or MINDSWEEP_VERB=ablate). Two minutes before the time limit the driver
# stops in order; the same command continues the study.
#SBATCH --job-name=mindsweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --output=mindsweep-%j.log
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?this is a job script: sbatch deploy/slurm.sh FILE ...}"
ray=.venv/bin/ray
python=.venv/bin/python
cpus=${SLURM_CPUS_PER_TASK:?}
nodes=${SLURM_JOB_NUM_NODES:?}

# Whoever has not this token is no part of the cluster; other users of the machines have not. srun hands it to the nodes.
token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$token RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1
# On each node's own disk; Ray's sockets allow a path of at most 107 characters.
folder=/tmp/mindsweep-${SLURM_JOB_ID:?}
export MINDSWEEP_SCRATCH=$folder/scratch

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000))
address=$ip:$port

# The nodes end with the job: --block keeps Ray in the foreground of a step, and SLURM ends what is left of it.
srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
  "$ray" start --head --block --node-ip-address="$ip" --port="$port" --num-cpus="$cpus" --temp-dir="$folder/ray" &
started=($!)
# `ray stop` would end every Ray process of this user, those of other jobs included.
trap 'kill "${started[@]}" 2>/dev/null || true' EXIT

until "$ray" health-check --address "$address" 2>/dev/null; do
  kill -0 "${started[0]}" || { echo "the head of the Ray cluster ended on $head" >&2; exit 1; }
  sleep 2
done
if ((nodes > 1)); then
  srun --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --overlap --exclude="$head" \
    "$ray" start --block --address="$address" --num-cpus="$cpus" --temp-dir="$folder/ray" &
  started+=($!)
fi
# A driver takes the cluster's size when it begins, so all nodes must have come by then.
"$python" - "$address" "$nodes" <<'PYTHON'
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False)
deadline = time.monotonic() + 300
while (joined := sum(node["Alive"] for node in ray.nodes())) < int(sys.argv[2]):
    if time.monotonic() > deadline:
        sys.exit(f"only {joined} of {sys.argv[2]} nodes joined the Ray cluster within five minutes")
    time.sleep(1)
PYTHON

# In the background, so that the shell can pass SLURM's signal on: as TERM, since the shell lets those ignore INT.
"$python" -m "platform.${MINDSWEEP_VERB:-sweep}" "$@" --address "$address" &
driver=$!
trap 'kill -TERM "$driver"' INT TERM
wait "$driver" && code=0 || code=$?
while kill -0 "$driver" 2>/dev/null; do # a signal ends `wait`, not the driver
  wait "$driver" && code=0 || code=$?
done
exit "$code"
