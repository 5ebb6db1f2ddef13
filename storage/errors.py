"""The errors of all storage backends.

StoreError
|- NotFoundError       the key holds nothing
|- ExistsError         the key exists already (keys are written once)
|- IntegrityError      the bytes do not match their digest or manifest
|- UnavailableError    the store cannot be reached or written now
`- LeaseHeldError      another running process holds the lease
"""


class StoreError(Exception):
    """Base class of the errors of a store."""


class NotFoundError(StoreError):
    """The key holds nothing."""


class ExistsError(StoreError):
    """The key exists already. Keys are written once."""


class IntegrityError(StoreError):
    """The bytes do not match their digest or manifest."""


class UnavailableError(StoreError):
    """The store cannot be reached or written now."""


class LeaseHeldError(StoreError):
    """Another running process holds the lease."""
