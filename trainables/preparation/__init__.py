"""From a lab's files to a prepared data set (docs/data-format.md): readers, cleaning of fMRI, checks and the data card.

Importing this is light; `readers` is the table of what can be read.
"""
