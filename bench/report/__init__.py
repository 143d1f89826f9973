"""From records to what people look at. Numbers come from `<store>/score/*/record.json` alone.

load(store) -> Loaded            `frame`: one row per (record, metric), curves, replicates
build_tables(loaded) -> [Table]  `tables`: cells with intervals (`cells`, `stats`), paired differences
report(store, out) -> Report     `write`: `markdown`, `html` (with `page`), `terminal`, `exports` (CSV, JSON),
                                 `drawing` (plots); `notes`: the words that several of them print
"""
