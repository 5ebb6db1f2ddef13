"""Data sets in the generic format, version 1 (docs/data-format.md): its tables, and how they are written and read.

Importing this is light.
"""
