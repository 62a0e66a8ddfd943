"""The Fractals application (faafo): what runs on the instances.

Its rooms, in the order in which a fractal passes through them:

    cli          the ``faafo`` command: create, list, show, get, retry, delete
    client       how the command and the worker speak with an API (HTTP, standard library only)
    apis         all APIs as one: where one is away, the next one is asked
    api          the API's process (Tornado)
    rest, web    its addresses: the REST API and the web page (templates/ and static/)
    transfer     results on their way in, images on their way out
    openapi      the description of the REST API
    handler      what all its answers have in common
    backend      its connections and threads
    groups       group commit: what comes together is accepted together
    validation   what a request may say
    schema       the tables; the row of a fractal is the truth about it
    database     the engines, PostgreSQL and MariaDB, and all in which they differ
    transaction  runs SQLAlchemy's statements on the driver's own cursor
    numbers      how many fractals there are, and where a page begins, without counting
    listing      what the API tells about fractals
    nodes        the rows of APIs and workers
    pieces       the rows of images
    generations  which order is meant, where a uuid is deleted and ordered anew
    outbox       what is on its way: outbox, queue, leases
    attempts     those that were lost
    failures     what could not be made: tried again, or failed
    events       what happened to fractals, step by step, for whoever watches
    store        all database work
    files        places of whole files: a directory, an object store
    images       where the PNGs are kept: the database, a disk, an object store
    moving       moves them from one of these places to another
    keeper       puts back what got lost: outbox, expired leases, an emptied queue
    tasks        the queue (kombu)
    dead         what no worker can process, with the reason
    worker       takes a task, computes, reports
    julia        the Julia set's definition, in plain Python, and its colours
    kernel       its loops as machine code; llvm makes it, processors: for which
    fractal      the picture, strip by strip; png: its file
    metrics      what Prometheus reads
    machine      the load of the machine this runs on
    services     starts PostgreSQL and Valkey on an instance
    account      the account under which PostgreSQL runs
    backups      backups of PostgreSQL, and the way back to any second since
    install      starts install.sh, which installs any of these as services
    logs         what the programs log, for people or as JSON
    durations    how long something took, in words
    settings     names, environment variables and numbers they share: heartbeat, lease, limits
    errors       what can go wrong

It imports nothing of ``faafo_lab.cloud``: the two meet only in an instance's user data.
"""
