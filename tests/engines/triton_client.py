"""Run by an interpreter that has tritonclient: asks the service at argv[1], prints what it got as JSON."""

# pyright: basic, reportMissingImports=false
import json
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

address, model, version = sys.argv[1:]
rows = np.array(json.load(sys.stdin), np.float64)  # null is NaN
client = InferenceServerClient(address.removeprefix("http://"))


def ask(values, datatype="FP32", *, binary=True, outputs=None, name=model, **options):
    tensor = InferInput("features", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    try:
        result = client.infer(name, [tensor], outputs=outputs, **options)
    except InferenceServerException as error:
        return {"status": error.status(), "error": error.message()}
    found = {"response": result.get_response()}
    for output in ("scores", "order"):
        array = result.as_numpy(output)
        if array is not None:
            found[output] = {"dtype": str(array.dtype), "values": array.tolist()}
    return found


floats = rows.astype(np.float32)
whole = np.nan_to_num(floats)
json_wish = [InferRequestedOutput("order", binary_data=False), InferRequestedOutput("scores", binary_data=True)]
found = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": client.is_model_ready(model),
    "version_ready": client.is_model_ready(model, version),
    "other_ready": client.is_model_ready("other"),
    "server": client.get_server_metadata(),
    "model": client.get_model_metadata(model, version),
    "binary": ask(floats, request_id="42"),
    "json": ask(whole, binary=False, outputs=[InferRequestedOutput("scores", binary_data=False)]),
    "mixed": ask(floats, outputs=json_wish, model_version=version),
    "gzip": ask(floats, request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
    "deflate": ask(floats, request_compression_algorithm="deflate"),
    "doubles": ask(rows, "FP64"),
    "custom": ask(floats, priority=1, timeout=1000, parameters={"mine": "yes"}),
    "json_nan": ask(np.full_like(floats, np.nan), binary=False),
    "infinite": ask(np.full_like(floats, np.inf)),
    "other": ask(floats, name="other"),
}
json.dump(found, sys.stdout)
