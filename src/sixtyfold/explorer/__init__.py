"""A local page over a store or a run: compare any two runs, open a fact, try a question live.

    spec.py                 options of `sixtyfold view`
    catalogue.py            what there is to look at, from a store or from a run directory
    tables.py               the DuckDB connection all queries go through
    comparison.py           two runs side by side: filters, counts, pages of rows
    one_fact.py             everything that is known of one fact
    live.py                 models that can be asked now, one in memory at a time
    guard.py                which requests are answered at all
    server.py, pages/       the page itself

Only `server.py` and `pages/` know the UI library; all else is plain functions.
"""
