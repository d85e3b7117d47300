"""A small web service as its authors write them: logging to a file, and Prometheus's metrics by the instrumentator."""

import logging

from fastapi import FastAPI, HTTPException
from prometheus_fastapi_instrumentator import Instrumentator

logging.basicConfig(filename="app.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
log = logging.getLogger("orders")
app = FastAPI()
Instrumentator().instrument(app).expose(app)


@app.get("/orders/{number}")
def order(number: int):
    log.info("order %s was read", number)
    return {"order": number}


@app.get("/pay/{number}")
def pay(number: int):
    if number % 3 == 0:
        log.error("order %s cannot be paid: the bank is away", number)
        raise HTTPException(502, "the bank is away")
    if number % 5 == 0:
        # Nobody catches this: uvicorn answers 500 and logs a traceback.
        raise RuntimeError(f"order {number} has no price")
    log.warning("order %s was paid late", number)
    return {"paid": number}
