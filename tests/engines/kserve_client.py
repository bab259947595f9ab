"""Run by an interpreter that has kserve: asks the service at argv[1], prints what it got as JSON."""

# pyright: basic, reportMissingImports=false
import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

address, model, version = sys.argv[1:]
rows = np.array(json.load(sys.stdin), np.float32)  # null is NaN


def request(values, *, binary, outputs=None, name=model, **parameters):
    tensor = InferInput("features", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(name, [tensor], request_id="42", parameters=parameters or None, request_outputs=outputs)


async def ask(client, asked):
    try:
        answer = await client.infer(address, asked, model_name=asked.model_name)
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "error": error.response.json()["error"]}
    found = {"model": answer.model_name, "id": answer.id}
    for output in answer.outputs:
        array = output.as_numpy()
        found[output.name] = {"dtype": str(array.dtype), "values": array.tolist()}
    return found


async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        scores = [RequestedOutput("scores", {"binary_data": False})]
        return {
            "live": await client.is_server_live(address),
            "ready": await client.is_server_ready(address),
            "model_ready": await client.is_model_ready(address, model),
            "other_ready": await client.is_model_ready(address, "other"),
            "json": await ask(client, request(rows, binary=False)),
            "binary": await ask(client, request(rows, binary=True, binary_data_output=True)),
            "mixed": await ask(client, request(rows, binary=True, outputs=scores)),
            "infinite": await ask(client, request(np.full_like(rows, np.inf), binary=True)),
            "other": await ask(client, request(rows, binary=True, name="other")),
        }


json.dump(asyncio.run(main()), sys.stdout)
