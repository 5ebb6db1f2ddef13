"""Guards the versions of stages and metrics: tiny recorded results, and digests of what computes them.

A stage run is looked up by its identity, and the code is no part of it: whoever changes what a stage makes must raise
its version, or stored results of the old code are taken for those of the new. Two files remember what was:

- `results.json`: what each stage makes of fixed inputs (`stages`) and each metric of fixed clips (`metrics`), with the
  versions that made it;
- `sources.json`: a digest of every module that a stage imports, without docstrings and comments.

`python -m tests.golden` computes the results anew and records both files, but only where results are equal or the
version was raised.

Results are compared up to `results.RELATIVE` and `ABSOLUTE`, since processors add floats in different orders: after a
few steps of training that is some 1e-6 of a value, while another method differs by far more. All runs take one thread,
and inputs are drawn by numpy's generators, which are the same everywhere.
"""
