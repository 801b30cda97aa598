"""Reports from logged runs: tidy frames, statistics of few seeds, figures and one page per study.

Reading order: ``frames`` (MLflow to pandas), ``counted`` (which runs speak), ``verdicts`` (what few seeds say of
claims), ``shape`` and ``figures`` (what fits a study), ``sections`` (what the page says), ``pages`` (what every report
is), ``reading`` and ``report`` (a study, read and written), ``search_reading`` and ``search_report`` (a search),
``website`` (all pages together), ``publish`` (from the store to them). ``bases`` says which runs may be compared,
``single`` makes rows of runs that no study planned; ``strokes``, ``titles`` and ``placed`` are how figures draw, call
and label things. Nothing here looks at study code: a report is made from what was logged, so an old result stays
readable after its study has changed.

From runs to a verdict: ``spread`` (one model of all rows and seeds), ``comparisons`` (a claim's contrast, its error),
``rates`` (how small a claim's error rate must be), ``tested`` (which claims a look tests), ``decisions`` (what an
interval decides), ``reasons`` (why, in sentences), ``verdicts`` (all of it, claim by claim), ``looking`` (in view of
the looks before, which are recorded), ``answered`` (drawn in a page), ``forest`` (as a figure). ``power`` and
``detectable`` say what a number of seeds can show, ``rounds`` which runs decide what is open; ``inference`` is for rows
and pairs by themselves.
"""
