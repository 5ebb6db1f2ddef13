"""All private names of Ray that the project uses. No other file may use one.

A name is private if it starts with an underscore, or if Ray does not document its module or attribute. Therefore `ray`
is bounded to one minor version. After an upgrade, `tests/trainables/test_ray_internals.py` shows which names are gone.
The tests `test_ray_core.py`, `test_ray_tune.py` and `test_ray_train.py` beside it show which names behave differently.
docs/scaling.md, "If a private name of Ray goes away", lists how to replace each name, and what is lost then.

`core` and `tune` are the driver's (`platform/run/ray`), `train` is the workers'. Each imports only its part of Ray.
"""
