"""XGBoost's in-place prediction without the Python around it, which takes as long as scoring a few documents.

Calls what `Booster.inplace_predict` calls, `XGBoosterPredictFromDense` of XGBoost's C API, in the library that the
package has loaded. Scores are the same bits.
"""

from __future__ import annotations

import ctypes
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

if TYPE_CHECKING:
    from service.ranker import Floats

_library: Any = vars(xgb.core)["_LIB"]


class Prediction:
    """The scores of a booster that gives one a row, by the trees from `trees[0]` up to `trees[1]`; (0, 0) is all.

    Keeps the booster alive. Safe to call from several threads: XGBoost's result belongs to the thread that asked.
    """

    def __init__(self, booster: xgb.Booster, trees: tuple[int, int]) -> None:
        self._booster = booster
        self._handle: Any = booster.handle
        about = {"type": 0, "training": False, "iteration_begin": trees[0], "iteration_end": trees[1]}
        self._config = json.dumps({**about, "missing": float("nan"), "strict_shape": False, "cache_id": 0}).encode()

    def __call__(self, features: Floats) -> Floats:
        """Scores of `features`, float32 [n, width] with NaN for missing, as float32 [n], n being at least 1.

        Raises:
            XGBoostError: the booster does not take this width.
        """
        features = np.ascontiguousarray(features)
        rows, width = features.shape
        address = features.ctypes.data
        interface = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (address, rows, width)
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        scores = ctypes.POINTER(ctypes.c_float)()
        failed = _library.XGBoosterPredictFromDense(
            self._handle,
            interface,
            self._config,
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(scores),
        )
        if failed:
            raise xgb.core.XGBoostError(_library.XGBGetLastError().decode())
        # What XGBoost gives is its own, and is overwritten by the next call.
        copied = np.empty(rows, np.float32)
        ctypes.memmove(copied.ctypes.data, scores, copied.nbytes)
        return copied
