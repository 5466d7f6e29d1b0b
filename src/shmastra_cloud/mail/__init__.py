"""Mail with one-time links, through whatever SMTP server is configured.

MailError            the message was not taken
├── MailAway         the server cannot be reached, or says to come back later; it was tried several times
└── MailRefused      the server, or what can be said to it, will never do
"""

from shmastra_cloud.mail.errors import MailAway, MailError, MailRefused
from shmastra_cloud.mail.message import invitation, sign_in_mail
from shmastra_cloud.mail.post import Post
from shmastra_cloud.mail.sending import probe, send

__all__ = ["MailAway", "MailError", "MailRefused", "Post", "invitation", "probe", "send", "sign_in_mail"]
