"""From records to what people look at. Numbers come from `<store>/score/*/record.json` alone.

The line, one module after the other; `write.report` is the whole of it:

records       score records -> one long data frame, curves, replicates
leaderboard   -> `Summaries`: data frames of cells, differences, savings, costs, comparisons over tasks
              (with `intervals`, `savings`, `cost`, `over_tasks`, which resample with `bootstrap`)
overview      -> methods by tasks;  tables -> texts with notes;  figures -> PNG and SVG
writers       -> CSV, JSON, Markdown (leaderboard.md.j2), LaTeX;  terminal -> text;  page -> HTML
"""
