"""How fast the platform is, and how small, beside what it is built on: ``python -m benchmarks [NAME ...]``.

``make bench`` runs those that take no minutes.

Every number is a ratio of two things that were measured side by side, in turns, in one run: seconds of one machine say
little about another, and a busy machine slows both sides alike. Reading order: ``compare`` (how two things are
measured), then one file per question: of training ``training``, ``peers``, ``memory``, ``checkpoints``; of pictures
``augmentation``, ``large`` (views), ``decoding``, ``loading``, ``worlds``; of what is learned ``probes``,
``evaluating``, ``claims``; of many runs ``orchestration``, ``startup``, ``store``, ``studies``, ``search``,
``workers``, ``demo``. ``gpu`` runs where there is one, and ``python -m benchmarks.history`` draws what ``peers``
measured over time.
"""
