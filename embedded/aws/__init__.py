"""The AWS API of the embedded cloud: moto behind one WSGI application, with what moto lacks and what AWS refuses.

moto keeps its state in module globals, so a process holds one such cloud. What a supervisor uses:

* ``server.ApiServer``: start and stop, sockets, save, load, reset, faults;
* ``hooks``: what the supervisor fills in so that machines become real;
* ``view.snapshot``: what stands, as plain frozen data;
* ``faults``: faults by name; ``state``: the state file.

Nothing here is imported by ``infra``, ``ops`` or ``scripts`` other than local and demo.
"""
