"""Backups of the database on the box: WAL archive and base backups by pgBackRest, a nightly dump, and their watch.

bounds.py      every bound and period                       config.py     what pgBackRest, PostgreSQL, systemd read
segments.py    names of WAL segments, what is missing       gaps.py       times that cannot be restored to
box.py         this machine: facts, programs, files         repository.py pgBackRest and the bucket, as ports
watch.py       how the archive stands, judged           census.py     what a database holds, counted
work.py        install, backup, dump, watch: the use cases  command.py    `terrace-backup`
"""
