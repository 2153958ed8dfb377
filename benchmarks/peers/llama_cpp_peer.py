"""llama.cpp as a benchmark subject, through llama-cpp-python. It multiplies quantized weights directly."""

import answer

asked = answer.arguments()

import llama_cpp  # noqa: E402 (the arguments are read first)
import numpy  # noqa: E402

model = llama_cpp.Llama(asked.model, n_ctx=len(asked.ids) + asked.tokens, n_threads=asked.threads,
                        n_threads_batch=asked.threads, n_gpu_layers=0, verbose=False)


def row(ids):
    model.eval(ids)
    return numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))


if asked.what == "logits":
    answer.logits(row(asked.ids))
else:
    new = [int(row(asked.ids).argmax())]
    while len(new) < asked.tokens:
        new.append(int(row(new[-1:]).argmax()))
    answer.ids(new)
