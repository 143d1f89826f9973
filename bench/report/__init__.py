"""From records to what people look at. Numbers come from `<store>/score/*/record.json` alone.

load(store) -> Loaded        `reading`, then `frame`: one row per (record, metric), curves, replicates
analyse(loaded) -> Analysis  `analysis`: plain data, everything that is shown
  tables                     `tables`: `cells` with intervals (`stats`), paired `comparisons` with verdicts
  savings, fronts, overall   `savings` of labels and epochs (`draws`), cost, `ranks` and `aggregate` scores
report(store, out) -> Report `write`, which reads, then `assemble`
  texts                      `grids` -> `markdown`, `latex`, `html` (with `page`); `rows` -> `exports`;
                             `terminal`; `notes`: words that several of them print
  plots                      `plots`, `comparison_plots`, `rank_plots` -> `figure` -> `layout` on a
                             `canvas` of a `raster` and a `vector` sheet, with `lettering`
"""
