"""The errors of mail; drawn in the package's docstring."""


class MailError(Exception):
    """A message was not taken; the message says why, without what was said to the server."""


class MailAway(MailError):
    """It may be taken later."""


class MailRefused(MailError):
    """It will not be taken as things are configured."""
