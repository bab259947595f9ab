"""The service as people write it first: FastAPI, pydantic, XGBRanker in a `def`. Run as: naive_server.py MODEL PORT."""

# pyright: basic, reportMissingImports=false
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from xgboost import XGBRanker


class Document(BaseModel):
    id: str
    features: list[float]


class Query(BaseModel):
    documents: list[Document]


class Ranked(BaseModel):
    id: str
    score: float


# One thread: on one core a second one only takes turns with the first.
ranker = XGBRanker(n_jobs=1)
ranker.load_model(sys.argv[1])
app = FastAPI()


@app.post("/rank")
def rank(query: Query) -> list[Ranked]:
    scores = ranker.predict(np.array([document.features for document in query.documents], dtype=np.float32))
    ranked = [
        Ranked(id=document.id, score=float(score)) for document, score in zip(query.documents, scores, strict=True)
    ]
    return sorted(ranked, key=lambda each: each.score, reverse=True)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
