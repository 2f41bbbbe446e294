"""The explorer: live models behind a page on this machine (extra `explore`).

`runs.py` opens what the person named, `models.py` is what can be asked of a live model, and
`studio.py` the one thread that asks it. `server.py` answers the page over HTTP within the bounds
of `limits.py` and `asked.py`, `uploads.py` reads a stranger's picture, `serving.py` listens on
127.0.0.1.
"""
