"""The backup package's error tree; drawn in the package's docstring."""


class BackupError(Exception):
    """Anything that keeps a backup from being made or restored; the message names the cause and the fix."""


class NotPossible(BackupError):
    """What was asked cannot be done here, or not by this user."""


class NoSpace(BackupError):
    """A disk has not enough room."""


class BadBackup(BackupError):
    """The file is no backup, is damaged, ends early, or was changed."""


class TooNew(BackupError):
    """The backup was made by a newer program."""


class Occupied(BackupError):
    """There is an installation already where one is to be restored."""


class WrongKey(BackupError):
    """The master key at hand is not the one that the backup was made under."""
