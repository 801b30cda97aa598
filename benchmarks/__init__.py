"""How fast the platform is, beside what it is built on: ``python -m benchmarks [NAME ...]``, or ``make bench``.

Every number is a ratio of two things that were measured side by side, in turns, in one run: seconds of one machine say
little about another, and a busy machine slows both sides alike. Reading order: ``compare`` (how two things are
measured), then one file per question: ``training``, ``augmentation``, ``orchestration``, ``startup``, ``demo``.
"""
