"""The errors users meet, by who has to act. A message is one line: thing, value, rule, file."""


class ConfigError(ValueError):
    """The command line or a config is wrong (exit code 2)."""


class DataError(ValueError):
    """A data set is wrong; the message names the file (exit code 1)."""


class RunError(RuntimeError):
    """A run cannot go on or be read; the message names the file (exit code 1)."""


class ToldElsewhereError(Exception):
    """Ends this process of a run because of an error that another process tells the user about."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
