"""The parts of the HTML page that `bench.report.html` assembles.

`page.html`, `page.css`, `page.js` are the page itself. `grid` has what the template prints, `blocks`
makes it of one table, `facets` has what can be filtered by, `figures` plots as data, `entries` what opens
behind a number.
"""
