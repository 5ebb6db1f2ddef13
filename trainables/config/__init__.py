"""Typed, frozen configs of a trial. These modules import no heavy library, so a driver can import them at once."""
