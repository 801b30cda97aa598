"""Reports from logged runs: tidy frames, statistics of few seeds, figures and one page per study.

Reading order: ``frames`` (MLflow to pandas), ``counted`` (which runs speak), ``inference`` (intervals and verdicts),
``shape`` and ``figures`` (what fits a study), ``sections`` (what the page says), ``report`` (a study's page and files),
``website`` (all studies' pages), ``publish`` (from the store to both). Nothing here looks at study code: a report is
made from what was logged, so an old result stays readable after its study has changed.
"""
