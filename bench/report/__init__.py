"""From records to what people look at. Reads `<store>/score/*/record.json` alone.

load(store) -> Loaded            `frame`: one row per (record, metric), curves, replicates
build_tables(loaded) -> [Table]  `tables`: cells with intervals (`cells`, `stats`), paired differences
report(store, out) -> Report     `write`: `markdown`, `terminal`, `exports` (CSV, JSON), `drawing` (plots)
"""
