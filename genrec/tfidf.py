"""TF-IDF as scikit-learn's TfidfVectorizer computes it (sublinear counts, smooth idf, unit rows). Importing scikit-learn brings pandas and scipy.stats along, which
is a tenth of what a first answer takes; a test compares the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# The list of scikit-learn (BSD-3-Clause), which has it from the Glasgow Information Retrieval Group.
STOP_WORDS = frozenset(
    """
    a about above across after afterwards again against all almost alone along already also although always am among amongst amoungst amount an
    and another any anyhow anyone anything anyway anywhere are around as at back be became because become becomes becoming been before
    beforehand behind being below beside besides between beyond bill both bottom but by call can cannot cant co con could couldnt cry de
    describe detail do done down due during each eg eight either eleven else elsewhere empty enough etc even ever every everyone everything
    everywhere except few fifteen fifty fill find fire first five for former formerly forty found four from front full further get give go had
    has hasnt have he hence her here hereafter hereby herein hereupon hers herself him himself his how however hundred i ie if in inc indeed
    interest into is it its itself keep last latter latterly least less ltd made many may me meanwhile might mill mine more moreover most mostly
    move much must my myself name namely neither never nevertheless next nine no nobody none noone nor not nothing now nowhere of off often on
    once one only onto or other others otherwise our ours ourselves out over own part per perhaps please put rather re same see seem seemed
    seeming seems serious several she should show side since sincere six sixty so some somehow someone something sometime sometimes somewhere
    still such system take ten than that the their them themselves then thence there thereafter thereby therefore therein thereupon these they
    thick thin third this those though three through throughout thru thus to together too top toward towards twelve twenty two un under until up
    upon us very via was we well were what whatever when whence whenever where whereafter whereas whereby wherein whereupon wherever whether
    which while whither who whoever whole whom whose why will with within without would yet you your yours yourself yourselves
    """.split()
)


class Tfidf:
    """Learned from texts, each of which `analyse` turns into its words."""

    def __init__(self, texts: Sequence[str], analyse: Callable[[str], list[str]]):
        self._analyse = analyse
        counted = [Counter(analyse(text)) for text in texts]
        self.vocabulary: dict[str, int] = {}
        for counts in counted:
            for word in counts:
                self.vocabulary.setdefault(word, len(self.vocabulary))
        num_with = np.zeros(max(1, len(self.vocabulary)), np.float32)  # (num_words,): texts with a word
        for counts in counted:
            num_with[[self.vocabulary[word] for word in counts]] += 1
        self._idf = (np.log((1 + len(texts)) / (1 + num_with)) + 1).astype(np.float32)
        self.matrix = self._weighted(counted)

    def rows(self, texts: Sequence[str]) -> Any:
        """A sparse matrix of unit rows, float32 (num_texts, num_words); a text without known words has zeros."""
        return self._weighted([Counter(self._analyse(text)) for text in texts])

    def _weighted(self, counted: Sequence[Counter[str]]) -> Any:
        from scipy.sparse import csr_matrix

        starts, columns, values = [0], [], []
        for counts in counted:
            own = [(self.vocabulary[word], count) for word, count in counts.items() if word in self.vocabulary]
            columns += [column for column, _ in own]
            values += [count for _, count in own]
            starts.append(len(columns))
        weights = (1 + np.log(np.array(values, np.float32))) * self._idf[np.array(columns, np.int32)]
        sizes = np.diff(starts)
        rows = np.repeat(np.arange(len(counted)), sizes)
        norms = np.sqrt(np.bincount(rows, weights**2, len(counted)))
        data = (weights / norms[rows]).astype(np.float32) if len(weights) else weights
        return csr_matrix((data, columns, starts), (len(counted), len(self._idf)), dtype=np.float32)
