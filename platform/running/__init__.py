"""Runs a study: the record of events, proposals, Ray Tune, shared stage runs."""
