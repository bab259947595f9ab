"""The 136 features of Microsoft's learning-to-rank data sets, and where the full data sets are.

Names follow the feature list of the page "Microsoft Learning to Rank Datasets": 25 statistics, each of five streams
of the document, then 11 features of the page as a whole.
"""

from __future__ import annotations

STREAMS = ("body", "anchor", "title", "url", "whole_document")
_MOMENTS = ("sum", "min", "max", "mean", "variance")
STATISTICS = (
    "covered_query_term_number",
    "covered_query_term_ratio",
    "stream_length",
    "idf",
    *(f"{moment}_of_term_frequency" for moment in _MOMENTS),
    *(f"{moment}_of_normalized_term_frequency" for moment in _MOMENTS),
    *(f"{moment}_of_tf_idf" for moment in _MOMENTS),
    "boolean_model",
    "vector_space_model",
    "bm25",
    "lmir_abs",
    "lmir_dir",
    "lmir_jm",
)
PAGE_FEATURES = (
    "url_slash_number",
    "url_length",
    "inlink_number",
    "outlink_number",
    "page_rank",
    "site_rank",
    "quality_score",
    "quality_score_2",
    "query_url_click_count",
    "url_click_count",
    "url_dwell_time",
)
FEATURE_NAMES = (*(f"{statistic}_{stream}" for statistic in STATISTICS for stream in STREAMS), *PAGE_FEATURES)
"""In column order: feature 1 of the files is FEATURE_NAMES[0]. "Normalized" is by the length of the stream."""

HOW_TO_GET = """\
The full data sets, MSLR-WEB10K (10,000 queries) and MSLR-WEB30K (31,531 queries, about 3.8 million rows), are on
Microsoft's page "Microsoft Learning to Rank Datasets": https://www.microsoft.com/en-us/research/project/mslr/
Download one there, unpack it, and name the folder of a fold, which holds train.txt, vali.txt and test.txt, for
example: make demo DATA=MSLR-WEB10K/Fold1

Microsoft released them for research on learning to rank. No right to pass them on was found, so neither the data nor
rows of it belong into a repository, an image or a release; read the terms on that page before any other use.
"""


def feature_names(width: int) -> tuple[str, ...]:
    """Microsoft's names for data of 136 features, `f1`, `f2`, ... for any other."""
    if width == len(FEATURE_NAMES):
        return FEATURE_NAMES
    return tuple(f"f{index}" for index in range(1, width + 1))
