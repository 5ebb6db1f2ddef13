"""The failure of a study that had begun."""


class StudyError(Exception):
    """The study cannot go on, through no mistake in its definition. Its text is for the user, the exit code is 1."""

    exit_code = 1
