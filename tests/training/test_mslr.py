import re
from pathlib import Path

import numpy as np

from training.letor import read_split
from training.mslr import FEATURE_NAMES, HOW_TO_GET, STREAMS, feature_names


def test_names_are_unique_snake_case():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 136
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in FEATURE_NAMES)


def test_names_are_in_the_order_of_microsofts_list():
    numbered = {
        1: "covered_query_term_number_body",
        6: "covered_query_term_ratio_body",
        15: "stream_length_whole_document",
        16: "idf_body",
        21: "sum_of_term_frequency_body",
        45: "variance_of_term_frequency_whole_document",
        46: "sum_of_normalized_term_frequency_body",
        71: "sum_of_tf_idf_body",
        92: "variance_of_tf_idf_anchor",
        98: "boolean_model_title",
        101: "vector_space_model_body",
        110: "bm25_whole_document",
        111: "lmir_abs_body",
        119: "lmir_dir_url",
        125: "lmir_jm_whole_document",
        126: "url_slash_number",
        130: "page_rank",
        133: "quality_score_2",
        136: "url_dwell_time",
    }
    assert {index: FEATURE_NAMES[index - 1] for index in numbered} == numbered


def test_other_widths_are_numbered():
    assert feature_names(136) == FEATURE_NAMES
    assert feature_names(3) == ("f1", "f2", "f3")


def test_the_text_says_where_and_under_which_terms():
    assert "https://www.microsoft.com/en-us/research/project/mslr/" in HOW_TO_GET
    assert "for research on learning to rank" in HOW_TO_GET


def test_real_values_are_what_the_names_say(mslr_data: Path):
    features = read_split(mslr_data / "mslr-web30k-fold1-mini" / "test.txt.gz").features
    column = {name: features[:, index] for index, name in enumerate(FEATURE_NAMES)}
    for stream in STREAMS:
        assert set(np.unique(column[f"boolean_model_{stream}"])) <= {0, 1}
        assert column[f"covered_query_term_ratio_{stream}"].max() <= 1
        assert column[f"lmir_jm_{stream}"].max() <= 0
        terms = column[f"sum_of_term_frequency_{stream}"]
        assert np.all(column[f"max_of_term_frequency_{stream}"] <= terms)
        assert np.all(column[f"min_of_term_frequency_{stream}"] <= column[f"mean_of_term_frequency_{stream}"])
    split_streams = sum(column[f"stream_length_{stream}"] for stream in STREAMS[:4])
    assert np.mean(split_streams == column["stream_length_whole_document"]) > 0.9
    assert np.all(column["url_slash_number"] < column["url_length"])
    assert column["page_rank"].max() < 2**16
