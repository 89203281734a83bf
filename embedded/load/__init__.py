"""A load that hides nothing: requests at a given rate whether or not answers come, WebSockets that mind how they end.

    with Load(Target("https://203.0.113.7", host="example.test", ca=path), log) as load:
        deploy()
        load.until(5_000)
    report = load.report            what was sent, what failed, what was late; each request is a line of the log

It runs in a process of its own, so that what drives it cannot slow it down. Nothing is ever tried twice.
"""

from embedded.load.report import Report, Sockets, read
from embedded.load.running import Load, Target, named

__all__ = ["Load", "Report", "Sockets", "Target", "named", "read"]
