"""Take the fingerprint of the usual weights, and fail if that loads a network library."""

import sys

from trainables.backbones import fingerprint
from trainables.config.trial import resolve

if __name__ == "__main__":
    fingerprint(resolve({}))
    assert not {"torch", "transformers", "diffusers"} & set(sys.modules)
