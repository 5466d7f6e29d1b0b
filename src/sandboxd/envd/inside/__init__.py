"""What runs inside a sandbox as its own user: one program, which does what envd is asked.

It needs the standard library only. It is sent in through the socket that it then serves (``helper.py``,
outside), so a template needs python3 only. It has the rights of whoever it runs as, no capability, and the
sandbox's filter: a link that is swapped under it leads only to what that user may reach anyway. What it
says is not trusted outside, for its user may tamper with it.
"""
