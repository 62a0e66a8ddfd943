"""Backups of the application's PostgreSQL: ``faafo backup`` and ``faafo restore``, on the machine that it runs on.

A backup is a copy of all of the database's files (pg_basebackup) and the write-ahead log since (archive_command),
in a place of files outside: ``FAAFO_BACKUP_URL``. With both the database is restored to any second since.

    record     a backup, a piece of the log, a timeline: what their files in the place are called
    log        what the place has as a whole: how far the log reaches, what a restore needs, what may go (pure)
    place      the place itself, and its note on this machine
    server     the PostgreSQL of this machine: an instance's, or that of a Debian or Ubuntu machine
    archive    what PostgreSQL runs for each piece of the log
    taking     a backup is made
    beside     a backup is restored beside the running database, in a server of its own
    restoring  the restored database takes the place of the running one
    command    the two commands

A backup is listed once its record is in the place, which is put last. A restore is prepared beside the database and
takes its place in one step, at the database's next start. So each may be interrupted at any moment.

What is in the place, and for how long, is not the database's alone to say: images outside of it (see ``images``) are
not in its backups.
"""
