"""SWEEP ABLATION [OPTION...]: run both on one Ray, to start it once.

It takes its environment, with the keys of S3, from who starts it.
"""

import sys

from platform import ablate, sweep
from platform.run.ray.cluster import cluster

if __name__ == "__main__":
    options = sys.argv[3:]
    with cluster(None):
        sys.exit(sweep.main([sys.argv[1], *options]) or ablate.main([sys.argv[2], *options]))
