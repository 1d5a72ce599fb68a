"""The daemon: a supervisor that keeps the books, and children that touch what can hang or crash.

    supervisor.py   the one loop; owns the journal; standard library and configuration only
    scanner.py      one child per source: looks at the export folder, copies a settled slide into the spool
    worker.py       one child: decodes and analyzes a spooled slide
    deliver.py      one child per output: stages and publishes results, reads acknowledgements
    channel.py      how they talk: length-prefixed bytes, JSON header and blobs, every size capped
"""
