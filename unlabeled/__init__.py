"""Unlabeled: self-supervised learning experiments on Ray, with reports that judge published claims.

>>> import unlabeled
>>> unlabeled.__version__
'0.1.0'
"""

__version__ = "0.1.0"
