"""How a spoken name begins, as its spelling in its language says: the manner of its first sound.

An article before the name is passed over ("un merle" begins as "merle" does). Spelling says it only roughly: English
loans, stress and dialects are not looked at.
"""

import re
import unicodedata

MANNERS = ("vowel or glide", "plosive", "fricative or affricate", "nasal", "liquid")
_ARTICLES = {
    "fr": "un une le la les des du de l d",
    "es": "un una el la los las unos unas",
    "ca": "un una el la els les uns unes l",
    "ro": "un o niște",
    "da": "en et den det",
    "el": "ενα ενας μια ο η το οι τα",
}
_LATIN = ("aeiouyw", "bpdtgkcq", "fvszxjh", "mn", "lr")
_GREEK = ("αεηιουω", "πτκξψ", "βγδζθσςφχ", "μν", "λρ")
_CYRILLIC = ("аеёиоуыэюяйіўъ", "бпдтгкґ", "вжзсфхцчшщ", "мн", "лр")
_LETTERS = {
    letter: number
    for alphabet in (_LATIN, _GREEK, _CYRILLIC)
    for number, letters in enumerate(alphabet)
    for letter in letters
}
_SPELT = {  # beginnings that are not spoken as their first letter is
    "fr": (("(ch|ph|[cg][eiyéèê]|ç)", 2), ("h", 0)),
    "es": (("(ch|g[ei]|c[ei])", 2), ("h", 0), ("ll", 0)),
    "ca": (("(g[ei]|c[ei]|ç)", 2), ("h", 0), ("ll", 4)),
    "ro": (("[cg][ei]", 2),),
    "da": (("j", 0),),
    "el": (("(μπ|ντ|γκ)", 1), ("(τσ|τζ)", 2)),
    "be": (("г", 2),),  # a fricative there, a plosive in Russian and Bulgarian
}


def manner(text: str, language: str) -> int:
    """Return the number in :data:`MANNERS` of the first sound of a name, or -1 where its spelling does not say.

    Args:
        text: as it is written in its language.
        language: by its two letters; of others the letters are taken as they are.

    >>> [MANNERS[manner(*each)] for each in (("Un merle.", "fr"), ("L'hélice.", "fr"), ("Чёрный дрозд.", "ru"))]
    ['nasal', 'vowel or glide', 'fricative or affricate']
    """
    words = re.findall(r"\w+", _bare(text.casefold()) if language == "el" else text.casefold())
    articles = _ARTICLES.get(language, "").split()
    word = next((word for word in words[:-1] if word not in articles), words[-1] if words else "")
    for beginning, number in _SPELT.get(language, ()):
        if re.match(beginning, word):
            return number
    return _LETTERS.get(_bare(word)[:1], _LETTERS.get(word[:1], -1))


def _bare(text: str) -> str:
    """Return letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
