"""terrace-data: moves the rows between PostgreSQL on the box and RDS, with one writer at any time (docs/adr/0046).

plan                what would be moved, and why it could not be
copy [--rehearse]   fence the writer, dump, restore beside; a rehearsal fences nothing and tells how long it takes
follow              copy beside while the application goes on, and let the copy follow it by replication
verify              compare both: schema, rows, checksums, sequences, extensions, a vector query
switch              fence the writer if it was followed, verify, write down who writes, open it
back                before the switch: open the writer again
"""
