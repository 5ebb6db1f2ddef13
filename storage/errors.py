"""The errors that every storage backend raises, whatever server stands behind it.

StoreError
|- NotFoundError       the key holds nothing
|- ExistsError         the key was written before (keys are written once)
|- IntegrityError      the bytes are not those that their digest or manifest promises
|- UnavailableError    the store cannot be reached or written now
`- LeaseHeldError      somebody else, still alive, holds the lease
"""


class StoreError(Exception):
    """Anything that a store reports."""


class NotFoundError(StoreError):
    """The key holds nothing."""


class ExistsError(StoreError):
    """The key was written before; keys are written once."""


class IntegrityError(StoreError):
    """The bytes are not those that their digest or manifest promises."""


class UnavailableError(StoreError):
    """The store cannot be reached or written now."""


class LeaseHeldError(StoreError):
    """Somebody else, still alive, holds the lease."""
