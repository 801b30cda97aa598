"""Reports from logged runs: tidy frames, statistics of few seeds, figures and one page per study.

Reading order: ``frames`` (MLflow to pandas), ``counted`` (which runs speak), ``spread``, ``looks`` and ``verdicts``
(what few seeds say of claims), ``shape`` and ``figures`` (what fits a study), ``sections`` (what the page says),
``pages`` (what every report is), ``reading`` and ``report`` (a study, read and written), ``search_reading`` and
``search_report`` (a search), ``website`` (all pages together), ``publish`` (from the store to them). Nothing here
looks at study code: a report is made from what was logged, so an old result stays readable after its study has
changed.
"""
