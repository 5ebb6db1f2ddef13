"""Opens a pickle of a large array and prints by how many MB the peak memory rose, and one value."""

import resource
import sys
from pathlib import Path

from trainables.preparation.pickles import read_pickle

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
array, names = read_pickle(Path(sys.argv[1]))
value = array[-1, 0, 5]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024, float(value), len(names))
