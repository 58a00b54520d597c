from __future__ import annotations

import numpy as np
import pytest

from groovemark.ml.models.boosting.tags import TagScores, build_vocabulary, find_words, split_words


def test_words_are_lower_case_and_split_at_commas_and_blanks() -> None:
    assert split_words("I, Love,you  too,") == ["i", "love", "you", "too"]


def test_found_words_are_those_of_the_vocabulary() -> None:
    vocabulary = build_vocabulary(["b, a", "c"])
    found = find_words(["a, x, c", "", "x", "b"], vocabulary).toarray()
    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]])


def test_tfidf_rows_have_length_one_and_equal_scikit_learn_s() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["a, b, c", "b, c", "c", "a, d"]
    vectorizer = TfidfVectorizer(analyzer=split_words)
    expected = vectorizer.fit_transform(texts).toarray()
    scores = TagScores(vectorizer.idf_, np.zeros((4, 1)), np.zeros(1))
    weighed = scores.weigh(find_words(texts, build_vocabulary(texts))).toarray()
    np.testing.assert_allclose(weighed, expected)


def test_scores_are_the_linear_model_on_tfidf() -> None:
    texts = ["a, b", "", "b"]
    words = find_words(texts, build_vocabulary(texts))
    scores = TagScores(np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.0]))
    expected = scores.weigh(words).toarray() @ scores.weights + scores.bias
    np.testing.assert_allclose(scores(words), expected)
    assert scores(words)[1].tolist() == pytest.approx([0.5, 0.0])
