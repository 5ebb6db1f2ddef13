"""IMPORTED,... ASKED,... [MODULE ARGUMENT...]: import modules, call the `main` of one, and print who else was loaded.

The names of those modules of ASKED that are loaded afterwards are printed as JSON; the exit code is that of `main`.
"""

import importlib
import json
import sys


def call(imported: str, asked: str, *verb: str) -> int:
    for name in imported.split(","):
        importlib.import_module(name)
    code = 0
    if verb:
        code = importlib.import_module(verb[0]).main(list(verb[1:]))
    print(json.dumps([name for name in asked.split(",") if name in sys.modules]))
    return int(code)


if __name__ == "__main__":
    sys.exit(call(*sys.argv[1:]))
