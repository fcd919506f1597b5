"""The static model's vectors before training (random or a teacher's, smoothed over the lexicon), and after it (damped)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack, vstack
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from clirbench.support.errors import ClirbenchError
from clirbench.training.corpus import Corpus, SourceTexts
from clirbench.training.recipe import StaticPart
from clirbench.training.static.lexicon import commonness, english_counts
from clirbench.training.teacher import Targets
from clirbench.training.tokens import TokenStore

Matrix = NDArray[np.float32]
# Length of the random part of a token's own vector, where the part from the teacher has length 1 in the mean.
_RANDOM = 0.3


def initial_vectors(
    corpus: Corpus,
    store: TokenStore,
    part: StaticPart,
    vocabulary: int,
    seed: int,
    targets: Targets | None = None,
    advance: Callable[[int], None] | None = None,
) -> Matrix:
    """Unit vectors, smoothed over the lexicon, times inverse document frequency (idf).

    A token's own vector is random. With ``teacher_start`` it is that of :func:`taught_vectors` plus a short random one, which
    gives tokens a vector that the teacher's texts lack.

    A lexicon row is one entry in several languages. Each round has two steps:

    1. A row's vector becomes the mean of its tokens' vectors: weighted by idf within a language, then the mean over languages.
    2. A token's vector becomes the mean of its own vector (weight ``graph_own``) and of the vectors of its rows.

    So the tokens of "cat" and "Katze", which are in one row, move near each other. The vectors are float32 (vocabulary,
    dimensions); ``advance`` is called with 1 after each round.

    Raises:
        ClirbenchError: The teacher's vectors have more dimensions than the model's.
    """
    rng = np.random.default_rng(seed)
    own = _unit(rng.standard_normal((vocabulary, part.dimensions), dtype=np.float32))
    idf = inverse_frequencies(corpus, store, vocabulary)
    if targets is not None and part.teacher_start:
        taught = taught_vectors(targets, store, idf, part.teacher_start)
        dimensions = taught.shape[1]
        if dimensions > part.dimensions:
            raise ClirbenchError(
                f"the teacher's vectors have {dimensions:,} dimensions, the model's {part.dimensions:,}: raise 'dimensions' in "
                "[static], or take a smaller teacher"
            )
        own *= _RANDOM
        own[:, :dimensions] += taught / np.sqrt((taught**2).sum(axis=1).mean())
        own = _unit(own)
    vectors = own
    graph = _graph(corpus, store, idf, part.graph_exponent) if part.graph_rounds else None
    for _ in range(part.graph_rounds):
        if graph is not None:
            to_rows, to_tokens = graph
            mean = to_tokens @ _unit(to_rows @ vectors)
            known = np.linalg.norm(mean, axis=1) > 0
            vectors = np.where(known[:, None], part.graph_own * own + (1 - part.graph_own) * _unit(mean), own)
            vectors = _unit(vectors).astype(np.float32)
        if advance:
            advance(1)
    return np.ascontiguousarray(vectors * idf[:, None])


def taught_vectors(targets: Targets, store: TokenStore, idf: NDArray[np.float32], penalty: float) -> Matrix:
    """The token vectors whose sums come nearest to a teacher's vectors of texts, by ridge regression.

    A text is the sum of its tokens, each times its idf, as a vector of length 1 over the vocabulary. A text that is both query
    and candidate counts once. The vectors are float32 (vocabulary, dimensions of the teacher).
    """
    bags, vectors = [], []
    counted = np.zeros(0, dtype=np.int64)
    for side in ("candidate", "query"):
        texts = np.setdiff1d(np.flatnonzero(targets.vectors[side].any(axis=1)), counted)
        counted = np.union1d(counted, texts)
        weighted = (_bags(store, texts.astype(np.int32), len(idf)) @ diags(idf)).tocsr()
        bags.append(normalize(weighted))
        vectors.append(targets.vectors[side][texts].astype(np.float32))
    regression = Ridge(alpha=penalty, fit_intercept=False, solver="sparse_cg", tol=1e-2)
    regression.fit(vstack(bags).tocsr().astype(np.float32), np.concatenate(vectors))
    return np.ascontiguousarray(regression.coef_.T, dtype=np.float32)


def inverse_frequencies(corpus: Corpus, store: TokenStore, vocabulary: int) -> NDArray[np.float32]:
    """Inverse document frequency of each token, float32 (vocabulary,).

    It is computed in each language. The mean over languages weighs each language by the share of its texts that hold the token.
    Lexicon entries are left out.
    """
    weighted, used = np.zeros(vocabulary), np.zeros(vocabulary)
    for number in range(len(corpus.languages)):
        texts = corpus.running_texts(number)
        if not len(texts):
            continue
        frequency = np.asarray(_bags(store, texts, vocabulary).sign().sum(axis=0)).ravel()
        share = frequency / len(texts)
        weighted += share * np.log((len(texts) + 1) / (frequency + 1))
        used += share
    idf = np.divide(weighted, used, out=np.zeros(vocabulary), where=used > 0)
    # A token that is in no text gets the value of the rarest token.
    return np.where(used > 0, idf, idf.max() or 1.0).astype(np.float32)


def damp_spectrum(weights: Matrix, sample: Matrix, power: float) -> Matrix:
    """Flatten the spectrum of text vectors: strong directions become weaker, weak directions become stronger.

    ``sample`` holds unit vectors of training texts, float32 (texts, dimensions). With its singular value decomposition
    ``U S V'``, the weights ``W``, float32 (vocabulary, dimensions), become ``W V (S / mean(S)) ** -power``. Power 0 only rotates,
    and changes no inner product. Power 1 makes all directions equally strong.
    """
    _, singular, basis = np.linalg.svd(sample.astype(np.float64), full_matrices=False)
    scale = (singular / singular.mean()) ** -power
    return np.ascontiguousarray((weights.astype(np.float64) @ basis.T * scale).astype(np.float32))


def flatten_norms(weights: Matrix, exponent: float) -> Matrix:
    """Raise each vector's length to a power, so that long vectors (rare pieces) weigh less, and scale the mean length to 1.

    The vectors are float32 (vocabulary, dimensions). Exponent 1 keeps all proportions. The nearer the exponent is to 0, the more
    alike the lengths become.
    """
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    flat = weights * np.maximum(lengths, 1e-12) ** (exponent - 1)
    return np.asarray(flat / np.linalg.norm(flat, axis=1).mean(), dtype=np.float32)


def sample_vectors(weights: Matrix, corpus: Corpus, store: TokenStore, number: int, seed: int) -> Matrix:
    """Unit vectors of a random sample of training texts, float32 (texts, dimensions).

    Each language gives an equal part of ``number`` texts, or all its texts if it has fewer. Lexicon entries, and texts with a
    vector of zeros, are left out.
    """
    chosen = []
    for language in range(len(corpus.languages)):
        texts = corpus.running_texts(language)
        np.random.default_rng([seed, language]).shuffle(texts)
        chosen.append(texts[: number // len(corpus.languages)])
    vectors = _bags(store, np.concatenate(chosen), len(weights)) @ weights
    return _unit(vectors[np.linalg.norm(vectors, axis=1) > 0])


def _bags(store: TokenStore, texts: NDArray[np.int32], vocabulary: int) -> csr_matrix:
    """How often each text holds each token: (texts, vocabulary)."""
    ids, begins = store.gather(texts)
    return csr_matrix(
        (np.ones(len(ids), dtype=np.float32), ids, np.append(begins, len(ids))), shape=(len(texts), vocabulary)
    )


def _graph(
    corpus: Corpus, store: TokenStore, idf: NDArray[np.float32], exponent: float
) -> tuple[csr_matrix, csr_matrix] | None:
    """The two steps of a round as matrices; None without a lexicon.

    The first, (rows, vocabulary), makes row vectors from token vectors. The second, (vocabulary, rows), makes token vectors from
    row vectors, with row weights ``commonness ** exponent``.
    """
    tables = [source for source in corpus.sources if source.part.view == "entries"]
    if not tables:
        return None
    counts = english_counts(corpus)
    bags = [_row_bags(source, store, idf) for source in tables]
    weights = [commonness(source, corpus, counts) ** exponent for source in tables]
    to_rows = vstack(bags).tocsr()
    to_tokens = hstack([b.T.multiply(w[None, :]).tocsr() for b, w in zip(bags, weights, strict=True)]).tocsr()
    total = np.asarray(to_tokens.sum(axis=1)).ravel()
    return to_rows.astype(np.float32), (diags(1 / np.maximum(total, 1e-12)) @ to_tokens).astype(np.float32).tocsr()


def _row_bags(source: SourceTexts, store: TokenStore, idf: NDArray[np.float32]) -> csr_matrix:
    """Share of each token in each row, (rows, vocabulary): by idf within a language, then the mean over languages."""
    total = csr_matrix((len(source.queries), len(idf)), dtype=np.float32)
    for column in source.queries.T:
        present = np.flatnonzero(column >= 0)
        bags = _bags(store, column[present], len(idf)).multiply(idf[None, :]).tocsr()
        lengths = np.asarray(bags.sum(axis=1)).ravel()
        bags = diags(1 / np.maximum(lengths, 1e-12)) @ bags
        spread = csr_matrix(
            (np.ones(len(present), dtype=np.float32), (present, np.arange(len(present)))),
            shape=(len(column), len(present)),
        )
        total = total + spread @ bags
    languages = (source.queries >= 0).sum(axis=1)
    return (diags(1 / np.maximum(languages, 1)) @ total).tocsr().astype(np.float32)


def _unit(vectors: Matrix) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
