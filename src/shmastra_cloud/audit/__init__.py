"""What admins do: who, what, to whom, when and from where, in a table that is only ever added to.

What is one transaction writes its line in it (:meth:`AuditLog.within`): neither is there without the other.
What takes longer writes a line before it begins and another when it has ended (:meth:`AuditLog.around`); one
that has no second line was cut off, and may or may not have happened.
"""

from shmastra_cloud.audit.actor import Actor
from shmastra_cloud.audit.elsewhere import COMMAND_LINE, record_in, this_user
from shmastra_cloud.audit.log import Act, AuditLog
from shmastra_cloud.audit.reading import Asked, read

__all__ = ["COMMAND_LINE", "Act", "Actor", "Asked", "AuditLog", "read", "record_in", "this_user"]
