"""llama.cpp as a subject of `depth.py`, through llama-cpp-python: the time of each token, greedy."""

import json
import time

import answer

asked = answer.depth_arguments()

import llama_cpp  # noqa: E402 (the arguments are read first)
import numpy  # noqa: E402

dtype = {"f32": 0, "f16": 1}[asked.cache_dtype]
model = llama_cpp.Llama(asked.model, n_ctx=asked.depth + asked.tokens, n_threads=asked.threads, n_batch=512,
                        n_threads_batch=asked.threads, n_gpu_layers=0, type_k=dtype, type_v=dtype, verbose=False)
ids = model.tokenize(asked.prompt.encode(), add_bos=False)
assert len(ids) == asked.depth, f"{len(ids)} tokens, expected {asked.depth}"


def greedy(ids):
    model.eval(ids)
    return int(numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),)).argmax())


token, seconds = greedy(ids), []
for _ in range(asked.tokens - 1):
    start = time.perf_counter()
    token = greedy([token])
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds}))
