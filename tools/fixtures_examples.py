# /// script
# requires-python = ">=3.11"
# dependencies = ["transformers==5.24.0", "tokenizers", "jinja2", "pyarrow"]
# ///
"""Writes crates/kiln-data/fixtures/examples.json and examples/*.parquet: loss masks of conversations, computed by hand and with transformers.

    python tools/fixtures_examples.py

For each of six chat templates (own ones in well-known styles) and several conversations, the file has the token ids and a 0/1
mask of the trained tokens. A template with generation marks is masked by transformers (`return_assistant_tokens_mask`). For the
others, each turn is written by hand as pieces of text, trained or not; the pieces must add up to the text of
`apply_chat_template`. A token is trained if it holds a character of a trained piece.

The Parquet files have nested columns: lists of structs, with the fields that pyarrow adds as nulls.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

OUT = Path(__file__).parent.parent / "crates/kiln-data/fixtures/examples.json"

SPECIAL = [
    "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
    "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "<start_of_turn>", "<end_of_turn>", "<|user|>",
    "<|assistant|>", "<|system|>", "<|tool|>",
]  # fmt: skip

TEMPLATES = {
    "marks": (
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\\n' }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}{{ '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    ),
    "thinking": (
        "{% if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}"
        "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
        "{% endif %}{% endfor %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
        "{% if m.role == 'assistant' and loop.index0 > ns.last %}"
        "{{ '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}{% endif %}{{ m.content or '' }}"
        "{% for call in m.tool_calls or [] %}{{ '<tool_call>' + (call.function | tojson) + '</tool_call>' }}{% endfor %}"
        "{{ '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "chatml": (
        "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' "
        "+ (m.content | trim) + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% set users = messages | selectattr('role', 'equalto', 'user') | list %}"
        "{% for m in messages %}{% if m.role == 'user' %}"
        "{% if tools and m == users[-1] %}{{ '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}{% endif %}"
        "{{ '[INST] ' + m.content + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' "
        "+ (m.content | trim) + '<end_of_turn>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
    ),
}


def message(role, content, **fields):
    return {"role": role, "content": content, **fields}


TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": {}}}]
CALL = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
CHATS = {
    "one": [message("user", "Hello there"), message("assistant", "Hi! How are you?")],
    "turns": [
        message("user", "Name a cat."),
        message("assistant", " Mog, of course"),
        message("user", "And a dog?"),
        message("assistant", "Rex."),
        message("user", "A naïve 🐟?"),
        message("assistant", "Fin – señor Fin."),
    ],
    "system": [
        message("system", "Be brief."),
        message("user", "2 + 2?"),
        message("assistant", "4"),
        message("user", "3 + 3?"),
        message("assistant", "6"),
    ],
    "open": [message("user", "Ping"), message("assistant", "Pong"), message("user", "Ping again")],
    "thoughts": [
        message("user", "Is 7 prime?"),
        message("assistant", "Yes.", reasoning_content="7 has no divisors."),
        message("user", "Is 8?"),
        message("assistant", "No.", reasoning_content="8 = 2 * 4"),
    ],
    "tools": [
        message("user", "The weather in Oslo?"),
        message("assistant", "", reasoning_content="I ask the tool.", tool_calls=CALL),
        message("tool", "rain"),
        message("assistant", "It rains.", reasoning_content="rain"),
        message("user", "Thanks"),
        message("assistant", "You are welcome."),
    ],
}
# Chats that a template can render.
CASES = {
    "marks": ["one", "turns", "system", "open"],
    "thinking": ["one", "turns", "system", "open", "thoughts", "tools"],
    "chatml": ["one", "turns", "system", "open", "thoughts"],
    "llama3": ["one", "turns", "system", "open"],
    "mistral": ["one", "turns", "open"],
    "gemma": ["one", "turns", "open"],
}
# With tools: the template moves them to the last question, so that each answer is an example of its own.
WITH_TOOLS = {"thinking": ["tools"], "mistral": ["turns"]}


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def tool_calls(m):
    return "".join(f"<tool_call>{dumps(call['function'])}</tool_call>" for call in m.get("tool_calls", []))


def pieces(style, chat, tools, trained):
    """The pieces of a conversation: (text, is_trained). `trained`: indices of the messages that are trained."""
    parts = []
    users = [i for i, m in enumerate(chat) if m["role"] == "user"]
    if style in ("llama3", "mistral", "gemma"):
        parts.append(("<s>", False))
    if style == "chatml" and chat[0]["role"] != "system":
        parts.append(("<|im_start|>system\nYou help.<|im_end|>\n", False))
    if style == "thinking" and tools:
        parts.append((f"<|im_start|>system\nTools: {dumps(tools)}<|im_end|>\n", False))
    for i, m in enumerate(chat):
        role, content, is_trained = m["role"], m["content"] or "", i in trained
        if style == "chatml":
            parts += [(f"<|im_start|>{role}\n", False), (f"{content}<|im_end|>\n", is_trained)]
        elif style == "thinking":
            thought = f"<think>\n{m.get('reasoning_content', '')}\n</think>\n\n"
            shown = thought if role == "assistant" and i > users[-1] else ""
            parts += [(f"<|im_start|>{role}\n", False), (f"{shown}{content}{tool_calls(m)}<|im_end|>\n", is_trained)]
        elif style == "llama3":
            header = f"<|start_header_id|>{role}<|end_header_id|>\n\n"
            parts += [(header, False), (f"{content.strip()}<|eot_id|>", is_trained)]
        elif style == "gemma":
            name = "model" if role == "assistant" else role
            parts += [(f"<start_of_turn>{name}\n", False), (f"{content.strip()}<end_of_turn>\n", is_trained)]
        elif style == "mistral" and role == "user":
            listed = f"[AVAILABLE_TOOLS] {dumps(tools)}[/AVAILABLE_TOOLS]" if tools and i == users[-1] else ""
            parts.append((f"{listed}[INST] {content} [/INST]", False))
        elif style == "mistral":
            parts.append((f" {content}</s>", is_trained))
    return parts


def examples_by_hand(tokenizer, style, chat, tools):
    """Each example ends with its last trained message. One example, unless a later rendering differs."""
    answers = [i for i, m in enumerate(chat) if m["role"] == "assistant"]
    groups = [answers]
    if style == "thinking" or (style == "mistral" and tools):
        # The answers after one question are rendered alike.
        users = [i for i, m in enumerate(chat) if m["role"] == "user"]
        groups = [[a for a in answers if max(u for u in users if u < a) == user] for user in users]
        groups = [group for group in groups if group]
    examples = []
    for group in groups:
        part = chat[: group[-1] + 1]
        written = pieces(style, part, tools, group)
        text = "".join(text for text, _ in written)
        rendered = tokenizer.apply_chat_template(
            part, chat_template=TEMPLATES[style], tools=tools, tokenize=False
        )
        assert text == rendered, f"{style}:\n{text!r}\n{rendered!r}"
        flags = [flag for piece, flag in written for _ in piece]
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        mask = [int(any(flags[start:end])) for start, end in encoding["offset_mapping"]]
        examples.append({"ids": encoding["input_ids"], "mask": mask})
    return examples


def examples_by_marks(tokenizer, style, chat):
    found = tokenizer.apply_chat_template(
        chat, chat_template=TEMPLATES[style], return_dict=True, return_assistant_tokens_mask=True
    )
    return [{"ids": found["input_ids"], "mask": found["assistant_masks"]}]


def small_tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = [m["content"] for chat in CHATS.values() for m in chat] + ["assistant user system think weather"] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(texts * 3, trainer)
    return bpe


def write_tables(folder):
    """Tables with nested columns, as `datasets` writes them."""
    folder.mkdir(exist_ok=True)
    turn = [{"from": "human", "value": "q é"}, {"from": "gpt", "value": "a 🐟"}]
    tables = {
        "messages": [
            {"id": 1, "messages": [message("user", "q é"), message("assistant", "a 🐟")]},
            {"id": 2, "messages": [message("user", "q2"), message("assistant", None, tool_calls=CALL)]},
        ],
        "conversations": [{"conversations": turn, "system": None}, {"conversations": turn[:1] + turn[1:], "system": "s"}],
        "preference": [
            {
                "prompt": "q",
                "chosen": [message("user", "q"), message("assistant", "good")],
                "rejected": [message("user", "q"), message("assistant", "bad")],
                "score": 1.5,
            }
        ],
        "pairs": [{"query": "q", "positive": "p", "negatives": ["n1", "n2"]}],
        "labeled": [{"text": "t", "label": 3}],
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet", compression="zstd")


def main():
    bpe = small_tokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    cases = []
    for style, names in CASES.items():
        for name in names:
            for tools in [None] + ([TOOLS] if name in WITH_TOOLS.get(style, []) else []):
                chat = CHATS[name]
                examples = (
                    examples_by_marks(tokenizer, style, chat)
                    if style == "marks"
                    else examples_by_hand(tokenizer, style, chat, tools)
                )
                cases.append({"template": style, "chat": name, "tools": tools, "examples": examples})
    file = {
        "tokenizer": json.loads(bpe.to_str()),
        "special_tokens": {"bos_token": "<s>", "eos_token": "</s>"},
        "templates": TEMPLATES,
        "chats": CHATS,
        "cases": cases,
    }
    OUT.write_text(json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_tables(OUT.parent / "examples")
    print(f"{OUT}: {len(cases)} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
