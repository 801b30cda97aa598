"""Reports from logged runs: tidy frames, statistics of few seeds, figures and one page per study.

Reading order: ``frames`` (MLflow to pandas), ``counted`` (which runs speak), ``inference`` (intervals and verdicts),
``figures``, ``sections`` (what the page says), ``report`` (the page and its files). Nothing here looks at study code:
a report is made from what was logged, so an old result stays readable after its study has changed.
"""
