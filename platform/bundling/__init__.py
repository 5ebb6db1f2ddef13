"""A study as one folder that holds all of it: written by the verb `export`, checked and taken in by `import`."""
