"""Restores of the database on a box: newest state, a minute, or one backup, into an empty directory; the proof.

choice.py   which backup a wish means, and what is refused       work.py      the restore itself, killed and resumed
proof.py    what is checked in what was restored                 command.py   `terrace-restore`
"""
