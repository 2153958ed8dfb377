# /// script
# requires-python = ">=3.11"
# dependencies = ["transformers==5.24.0", "jinja2==3.1.6"]
# ///
"""Render idioms of chat templates with the `transformers` library. The Rust tests compare byte by byte.

    python tools/fixtures_chat_idioms.py --out crates/kiln-data/fixtures/chat_idioms.json

Each idiom is a short template. It is rendered with several conversations: without tools, with tool calls, with parts
and null as content, and without messages. A case holds the text, or that the reference fails.
"""

import argparse
import datetime
import json
from pathlib import Path

from transformers.utils import chat_template_utils

NOW = 1_733_043_845

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather & <wind> at a \"place\" — today's",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City", "enum": ["Köln", "東京"]},
                "days": {"type": ["integer", "null"], "items": {"type": "number"}, "default": 1.5},
            },
            "required": ["place"],
        },
    },
}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": [1, 2.0, None, True], "unit": {"a": {}, "b": []}}}}
CONTEXTS = {
    "plain": {
        "messages": [{"role": "user", "content": "  Hi there, 'you' & \"me\"\n"}, {"role": "assistant", "content": "Hello. 🙂"}],
        "add_generation_prompt": True,
    },
    "rich": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "well?"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "name": "get_weather", "tool_call_id": "c1", "content": "{\"t\": 12}"},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is 12.", "score": 0.1},
        ],
        "tools": [TOOL, {"type": "function", "function": {"name": "add", "parameters": {}}}],
        "documents": [{"title": "tea", "text": "one two"}, {"title": "Bee", "text": "three", "rank": 2}],
        "enable_thinking": False,
    },
    "empty": {"messages": []},
}

# Conversations for the templates of real models, which do not accept every content.
REAL_CONTEXTS = {
    "turns": {
        "messages": [
            {"role": "user", "content": "  What is a café?\nTell me. "},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nA place 🙂 <b>&amp;</b>\n"},
            {"role": "user", "content": "Thanks"},
        ],
        "add_generation_prompt": True,
    },
    "system": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", "reasoning_content": "hm"}],
        "enable_thinking": True,
    },
    "parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}]}, {"role": "assistant", "content": [{"type": "text", "text": "I see"}]}, {"role": "user", "content": [{"type": "text", "text": "ok"}]}],
        "add_generation_prompt": True,
    },
    "calls": {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "reasoning_content": "ask\n", "tool_calls": [CALL]},
            {"role": "tool", "name": "get_weather", "tool_call_id": "c1", "content": "{\"t\": 12}"},
            {"role": "assistant", "content": "It is 12."},
            {"role": "user", "content": "Bye"},
        ],
        "tools": [TOOL],
        "add_generation_prompt": True,
    },
    "text calls": {
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
            {"role": "tool", "name": "f", "tool_call_id": "abcdefghi", "content": "12"},
        ],
        "tools": [TOOL],
        "documents": [{"title": "tea", "text": "one"}],
    },
}

# Idioms that read the conversation: rendered in every context.
CONVERSATION = r"""
{% if tools is iterable and tools|length > 0 %}T{% else %}-{% endif %}
{% if tools is not none and tools %}{{ tools|length }}{% endif %}
{% if not tools is defined %}a{% elif tools is none %}b{% else %}c{% endif %}
{% for tool in tools %}{{ tool.function.name }};{% endfor %}
{% for tool in tools or [] %}{{ tool.function.name }};{% endfor %}
{{ tools }}
{{ tools | tojson }}
{{ tools | tojson(indent=2) }}
{{ documents | tojson(indent=4, sort_keys=true) }}
{% for m in messages %}{{ m.role }}:{{ m.content }}|{% endfor %}
{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}
{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n' }}{% endfor %}
{% for m in messages %}{% if m.content is string %}s{% elif m.content is sequence %}q{% elif m.content is none %}n{% endif %}{% endfor %}
{% for m in messages %}{{ m.content is iterable }}{{ m.content is mapping }}{{ m.content is sequence }} {% endfor %}
{% for m in messages %}{% if m.content is string %}{{ m.content | trim }}{% else %}{% for p in m.content or [] %}{% if p.type == 'text' %}{{ p.text }}{% elif p['type'] == 'image' %}<img>{% endif %}{% endfor %}{% endif %}/{% endfor %}
{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for m in messages[::-1] %}{{ m.role }} {% endfor %}
{% for m in messages | reverse %}{{ m.role }} {% endfor %}
{{ messages[-1].role }} {{ messages[-1]['content'] }}
{{ messages[0].role if messages else 'none' }}
{{ messages[0].name | default('anon') }}
{{ messages[0].nothing.more }}
{{ messages[7].role }}
{{ messages[0]['content'][:4] }}
{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'tool' %}{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.found }} {{ ns.n }}
{% set x = 0 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}
{% if messages and messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{{ loop_messages | length }} {{ system_message }}
{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate: ' ~ m.role) }}{% endif %}{% endfor %}ok
{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls is not none %}{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}{% endif %}{% endfor %}
{% for m in messages %}{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v if v is string else v | tojson }}</{{ k }}>{% endfor %}{% endfor %}{% endfor %}
{% for m in messages %}{% for c in m.tool_calls or [] %}{% for k, v in c.function.arguments | items %}{{ k }}={{ v }};{% endfor %}{% endfor %}{% endfor %}
{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c }}{% endfor %}{% endfor %}
{% for m in messages %}{{ m.keys() | list | join(',') }};{% endfor %}
{% for m in messages %}{{ m }}{% endfor %}
{% for m in messages %}{{ m.get('name', '?') }}{{ m.get('nothing') }} {% endfor %}
{% for m in messages %}{{ 'tool_calls' in m }} {% endfor %}
{% for m in messages %}{% if 'content' in m and m.content and '</think>' in m.content %}{{ m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}|{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endif %}{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '^' }}>{{ loop.nextitem.role | default('$') }} {% endfor %}
{% for m in messages %}{{ loop.changed(m.role) }} {{ loop.cycle('a', 'b') }} {{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}
{% for m in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.index0 == 3 %}{% break %}{% endif %}{{ m.role }}{% endfor %}
{% for m in messages %}x{% else %}empty{% endfor %}
{{ messages | map(attribute='role') | join('-') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages | selectattr('role', 'in', ['user', 'tool']) | map(attribute='role') | list }}
{{ messages | rejectattr('role', 'eq', 'system') | map(attribute='role') | list }}
{{ messages | selectattr('tool_calls', 'defined') | list | length }}
{{ messages | selectattr('content') | list | length }}
{{ (messages | selectattr('role', 'equalto', 'system') | first).content }}
{{ (messages | selectattr('role', 'equalto', 'system') | list | first | default({'content': 'no'})).content }}
{{ messages | map(attribute='name', default='nobody') | list }}
{{ messages | groupby('role') | map('first') | list }}
{% for g in messages | groupby('role') %}{{ g.grouper }}{{ g.list | length }}{{ g[0] }} {% endfor %}
{% for role, group in messages | groupby(attribute='role') %}{{ role }}={{ group | length }};{% endfor %}
{{ messages | sum(attribute='score') if false else messages | length }}
{{ messages | sort(attribute='role') | map(attribute='role') | list }}
{{ messages | unique(attribute='role') | map(attribute='role') | list }}
{{ messages | batch(2) | map('length') | list }}
{{ messages | first }} {{ messages | last }}
{% for t in tools or [] %}{% for name, p in t.function.parameters.properties.items() %}{{ name }}: {{ p.type }}{{ p.items }}{% endfor %}{% endfor %}
{% for t in tools or [] %}{% for name, p in (t.function.parameters.properties or {}).items() %}{{ name }}: {{ p['type'] }}{% if p['items'] is mapping %}[]{% endif %}{% if p.enum %}{{ p.enum | join('|') }}{% endif %} {% endfor %}{% endfor %}
{% for t in tools or [] %}{{ t.function.parameters.required is defined }}{{ 'place' in (t.function.parameters.required or []) }}{% endfor %}
{% for t in tools or [] %}{% for name, p in (t.function.parameters.properties or {}).items() %}{% if p.items %}has{% endif %}{% endfor %}{% endfor %}
{% for d in documents or [] %}{{ loop.index0 }} {{ d.title | title }} {{ d['text'].split()[0] }} {{ d.rank | default('-') }}{% if not loop.last %}, {% endif %}{% endfor %}
{% if enable_thinking is defined and enable_thinking is false %}off{% else %}on{% endif %}
{% if enable_thinking %}on{% endif %}{{ enable_thinking | default(true) }}
{% if add_generation_prompt and messages[-1].role != 'assistant' %}<a>{% endif %}{{ add_generation_prompt }}
{{ bos_token }}{{ eos_token }}{{ pad_token }}
{% macro show(m, prefix='') -%}{{ prefix }}{{ m.role }}{%- endmacro %}{% for m in messages %}{{ show(m, '>') }}{{ show(m) }}{% endfor %}
{% macro content(m) %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endmacro %}{% for m in messages %}[{{ content(m) | trim }}]{% endfor %}
{% for m in messages recursive %}{{ m.role }}{% if m.tool_calls %}({{ loop(m.tool_calls) }}){% endif %}{% endfor %}
{% for m in messages %}{% generation %}{{ m.role }}{% set z = 1 %}{% endgeneration %}{{ z }}{% endfor %}
{% set c = messages | map(attribute='content') | select('string') | list %}{{ c }}
{{ messages | tojson(separators=(',', ':'), ensure_ascii=true) }}
{{ messages | string | length }}
{%- set system = messages | selectattr("role", "equalto", "system") | map(attribute="content") | list -%}
{{- system | join("\n") if system else "default" }}
{{ messages[1:][:2] | length }} {{ messages[:-1] | length }} {{ messages[5:] }}
{% set last = messages | last %}{{ last.role }}{{ last is undefined }}
{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.content is string %}{{ m.content.strip() }}{% else %}{{ m.content | tojson }}{% endif %}{{ eos_token if loop.last else '' }}{% endfor %}
{% if messages and messages[0].role in ['system', 'developer'] %}{{ messages[0].content }}{% endif %}{{ messages | selectattr('role', 'ne', 'system') | list | length }}
{% set tool_names = [] %}{% if tools %}{% set tool_names = tools | map(attribute='function.name') | list %}{% endif %}{{ tool_names }}
{% set ns = namespace(first=true, last_user=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last_user = loop.index0 %}{% endif %}{% endfor %}{{ ns.last_user }}{{ ns.last_user > 0 and not ns.first }}
{% macro ts(p, depth=0) %}{% if p.enum is defined and p.enum %}"{{ p.enum | join('" | "') }}"{% elif p.type is string %}{{ 'number' if p.type in ['integer', 'number'] else p.type }}{% elif p.type is iterable and p.type is not mapping %}{% for t in p.type %}{{ t }}{{ ' | ' if not loop.last }}{% endfor %}{% else %}any{% endif %}{% endmacro %}{% for t in tools or [] %}{% for k, v in (t.function.parameters.properties or {}) | items %}{{ k }}{{ '?' if k not in (t.function.parameters.required or []) }}: {{ ts(v) }}{{ ', // ' ~ v.description if v.description is defined }}{{ ' default: ' + (v.default | tojson) if v.default is defined }};{% endfor %}{% endfor %}
{% for t in tools or [] %}{{ t.function | tojson(indent=4) | indent(4) }}{% endfor %}
{% for t in tools or [] %}{{ t.function.parameters.get('properties', {}).keys() | list | sort | join(',') }}{% endfor %}
{% for t in tools or [] %}{{ dict(t.function, strict=true) | tojson }}{% endfor %}
{% for t in tools or [] %}{% for k, v in t.function.parameters | dictsort %}{{ k }}={{ v is mapping }},{% endfor %}{% endfor %}
{% for m in messages %}{% set content = m.content if m.content is string else '' %}{% set parts = content.split('\n') | map('trim') | select | list %}{{ parts }}{% endfor %}
{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.arguments.items() | list }}{{ c.function.arguments | length }}{{ c['function']['arguments']['place'] }}{{ c.function.arguments.days[0] }}{% endfor %}{% endfor %}
{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.function is defined %}{% set c = c.function %}{% endif %}{{ c.name }}{% if c.arguments is string %}{{ c.arguments }}{% else %}{{ c.arguments | tojson(separators=(',', ':')) }}{% endif %}{% endfor %}{% endfor %}
{% for m in messages %}{{ m | length }}{{ m | list | first }}{{ m.items() | map('first') | join }}{% endfor %}
{% for m in messages %}{% if not loop.first and loop.previtem.role == m.role %}{{ raise_exception('same role twice') }}{% endif %}{% endfor %}fine
{% for m in messages | rejectattr('role', 'in', ['system']) %}{{ loop.index0 is even }}{{ loop.index is odd }}{% endfor %}
{% set has_images = namespace(value=false) %}{% for m in messages %}{% if m.content is not string and m.content is iterable %}{% for p in m.content %}{% if 'image' in p or p.type == 'image' %}{% set has_images.value = true %}{% endif %}{% endfor %}{% endif %}{% endfor %}{{ has_images.value }}
{{ (messages | last).content | default('', true) | string | truncate(8, true, '') }}
{{ messages | map(attribute='content') | map('string') | map('length') | sum }}
{% set sys = (messages | first | default({}, true)).get('content', '') %}{{ sys if sys is string else sys | length }}
{{ [{'role': 'system', 'content': 'x'}] + messages | length if false else ([{'role': 'system', 'content': 'x'}] + messages) | length }}
{% set messages = [{'role': 'system', 'content': 'new'}] + messages %}{% for m in messages %}{{ m.role }}{% endfor %}
{% set documents = documents or [{'title': 'none', 'text': ''}] %}{% for d in documents %}{% for k, v in d.items() %}{{ k }}: {{ v }}{{ '\n' if not loop.last }}{% endfor %}{% endfor %}
{% if tools is defined and tools %}{% set tools = tools | sort(attribute='function.name') %}{{ tools[0].function.name }}{% endif %}
{{ tools | default([]) | length if tools else 'no tools' }} {{ documents is defined and documents is not none and documents | length > 0 }}
{% for m in messages if m.content is string and m.content | trim %}{{ m.content | trim | replace('\n', ' ') | capitalize }}/{% endfor %}
{% for m in messages %}{% filter trim %} {{ m.role }} {% endfilter %}{% endfor %}
{% for m in messages %}{% call(x) (m) %}{{ x }}{% endcall %}{% endfor %}
{{ messages.role }} {{ messages.count({}) }} {{ messages.nothing is defined }}
{{ messages | tojson | length > 2 }} {{ messages | string | replace("'", '"') | length }}
{% if messages | length > 1 and messages[1].content is not string %}{{ messages[1].content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join(' ') }}{% endif %}
""".strip("\n").split("\n")

# Idioms that do not depend on the conversation.
ALONE = r"""
{{ none is iterable }} {{ none is sequence }} {{ none is mapping }} {{ 5 is iterable }} {{ 'a' is iterable }} {{ {} is iterable }} {{ nothing is iterable }}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in nothing %}x{% else %}none{% endfor %}
{% for c in 'abc' %}{{ c }}.{% endfor %}
{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}
{{ none | length }}
{{ 5 | length }}
{{ nothing | length }} {{ '' | length }} {{ {} | length }}
{{ none | list }}
{{ none.foo }}x{{ none['foo'] }}y{{ none[0] }}z
{% set x = none %}{{ x[1:] }}
{% set x = 5 %}{{ x[:1] }}
{% set x = 'abc' %}{{ x['a':] }}
{% for m in messages %}{{ m.content[:2] }}{% endfor %}
{{ none.foo.bar }}
{{ nothing }}x{{ nothing is defined }}{{ nothing is undefined }}
{{ nothing.foo }}
{{ nothing['foo'] }}
{{ nothing() }}
{{ nothing + 1 }}
{{ 'a' + nothing }}
{{ 'a' ~ nothing ~ none ~ 1 ~ true ~ 1.0 }}
{{ nothing == nothing2 }} {{ nothing == none }} {{ nothing == '' }} {{ nothing != 1 }}
{{ nothing < 1 }}
{{ nothing in [1] }} {{ 1 in nothing }} {{ none in [none] }}
{{ nothing in 'abc' }}
{{ not nothing }} {{ nothing or 'x' }} {{ nothing and 'x' }}
{{ [nothing] }} {{ {'a': nothing} }}
{{ nothing | default('d') }} {{ none | default('d') }} {{ none | default('d', true) }} {{ '' | d('e', boolean=true) }}
{{ (nothing | default({})).x }}
{{ [1, 'a', none, true, 2.5, (1,), {'k': [false]}] }}
{{ (1, 'a') }} {{ (1,) }} {{ () }} {{ 1, 2 }} {{ [(1, 'x')] }}
{{ {'a': 1, 'b': none, 3: 'x', none: 1, true: 2, 1.5: 3, (1, 2): 4} }}
{{ "it's" }} {{ ["it's", 'say "x"', 'both \' and "', 'back\\slash', 'new\nline', 'tab\t', 'nul\x00', 'é', '\u200b', '\x7f', '😀', '\xa0', 'e\u0301', '\U000e0001'] }}
{{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456789.123 }} {{ 0.1 + 0.2 }} {{ 1e22 }} {{ 1.5e300 * 1e10 }} {{ 1e308 * 10 }} {{ -0.0 }} {{ 5e-324 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1e3 }} {{ 100000000000000000.0 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ -2 ** 2 }} {{ 7 // -2 }} {{ 7 % -3 }} {{ 5.0 // 0.3 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1 // 0.0 }}
{{ 9223372036854775807 + 1 }} {{ 18446744073709551616 * 2 }} {{ 10 ** 30 }} {{ -9223372036854775808 - 1 }}
{{ 2 ** 200 }}
{{ true + 1 }} {{ true == 1 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }} {{ none == false }} {{ 0 == false }} {{ true * 3 }} {{ -true }} {{ +5 }} {{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 3 > 2 > 1 != 0 }}
{{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1, 'a') < (1, 'b') }} {{ 1 < 1.5 }} {{ 'B' < 'a' }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ [1] < ['a'] }}
{{ {} < {} }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ none + 'a' }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ (1,) * 2 }} {{ 'a' * 0 }} {{ 'a' * -1 }} {{ [1, 2] + [3] }} {{ (1,) + (2,) }}
{{ 'a' * 1.5 }}
{{ {} + {} }}
{{ - 'a' }}
{{ -5 | abs }} {{ (-5) | abs }} {{ -5.5 | abs }} {{ 'x' ~ 1 + 2 }} {{ 1 + 2 ~ 'x' }} {{ 2 * 3 ~ 4 }}
{{ 'a' in 'abc' }} {{ 'x' not in 'abc' }} {{ 1 in [1, 2] }} {{ 'a' in {'a': 1} }} {{ 1 in (1, 2) }} {{ '' in '' }} {{ 1.0 in [1] }} {{ 3 in range(5) }} {{ not 1 in [2] }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ 'a' in none }}
{{ [] in {} }}
{{ 'abc'[0] }} {{ 'abc'[-1] }} {{ 'abc'[1:] }} {{ 'abc'[:-1] }} {{ 'abc'[::-1] }} {{ 'abcdef'[1:5:2] }} {{ 'abc'[5:] }} {{ 'abc'[-2:] }} {{ 'héllo'[1:3] }} {{ 'abc'[9] }}{{ 'abc'[none:2] }}{{ 'abcdef'[5:1:-2] }}
{{ [1, 2, 3][1:] }} {{ [1, 2, 3][-2:] }} {{ [1, 2, 3][::2] }} {{ (1, 2, 3)[:2] }} {{ [1, 2, 3][9] }}x{{ [1,2,3][-1] }} {{ [1, 2, 3]['a'] }} {{ [1, 2, 3][1.0] }} {{ [1, 2, 3][true] }} {{ range(10)[2:8:3] }} {{ range(10)[3] }} {{ [1,2,3].1 }}
{{ [1, 2][::0] }}
{{ {'a': 1}['a'] }} {{ {'a': 1}.a }} {{ {'a': 1}['b'] }} {{ {'a': 1}.b }} {{ {1: 'x'}[1] }} {{ {1: 'x'}[1.0] }} {{ {1: 'x'}[true] }} {{ {'a': {'b': {'c': 5}}}.a.b.c }}
{{ {'items': 5, 'keys': 6, 'get': 7}['items'] }} {{ {'items': 5}.items is callable }} {{ {'x': 5}['items'] is callable }} {{ {'items': 5}.items() | list }}
{% if {'items': 0}.items %}method{% else %}entry{% endif %}
{{ {'items': 5}.items + 1 }}
{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{{ loop.index }}{% endfor %}
{{ {'b': 1, 'a': 2}.items() }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() | length }} {{ {'a': 1}.keys()[0] }} {{ {'a': 1}.items() is sequence }}{{ {'a': 1}.items() is iterable }}
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 'c') }} {{ {'a': 1}.copy() }}
{{ {'a': 1}.get([]) }}
{{ {'a': 1}.pop('a') }}
{{ {'a': 1}.update({'b': 2}) }}
{{ [1].append(2) }}
{% set x = [] %}{% if x.append(1) %}{% endif %}{{ x }}
{{ [1].append }}x{{ [1].append is defined }}
{{ [3, 1, 2].count(1) }} {{ [3, 1, 2].index(2) }} {{ (1, 1).count(1) }} {{ [1, 2, 1].index(1, 1) }}
{{ [1].index(5) }}
{{ dict(a=1, b='x') }} {{ dict([('a', 1)]) }} {{ dict({'a': 1}, b=2) }} {{ dict() }} {{ dict(**{'z': 1}) }} {{ dict.fromkeys(['a', 'b'], 0) }}
{{ dict([1]) }}
{{ range(5) | list }} {{ range(2, 8, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(1, 9, 2) }} {{ range(0) | list }} {{ range(5) | length }} {{ range(5)[-1] }} {{ range(3) == range(0, 3) }}
{{ range(1000000) }}
{{ range('a') }}
{{ 'Hello World'.upper() }} {{ 'Hello'.lower() }} {{ 'hello world'.title() }} {{ "it's a test-case".title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'Hello'.swapcase() }} {{ 'straße'.upper() }} {{ 'ßx'.capitalize() }} {{ 'ÀÉ'.lower() }} {{ 'ΑΣ'.lower() }} {{ 'ABC'.casefold() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.strip('ba') }}|{{ '\n\t x'.strip() }}|{{ 'a\n\n'.rstrip('\n') }}|{{ ' x '.strip(none) }}|{{ '\x1fx\u3000'.strip() }}|{{ '\u200bx'.strip() }}
{{ 'a,b,c'.split(',') }} {{ 'a b  c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a  b '.split(' ') }} {{ 'a b c'.split(maxsplit=1) }} {{ 'a-b'.split(sep='-') }} {{ ''.split() }} {{ ''.split(',') }} {{ ' a b  c '.split(none, 1) }} {{ 'abc'.split('x') }} {{ ' a '.split(none, 0) }} {{ 'a b'.split(none, 5) }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b c'.rsplit(none, 1) }} {{ 'a,b'.rsplit(',') }} {{ 'a b  c '.rsplit() }} {{ ' a b  c '.rsplit(none, 1) }}
{{ 'a'.split('') }}
{{ 'a'.split(1) }}
{{ 'a\nb\r\nc\rd\x0be\u2028f\n'.splitlines() }} {{ 'a\nb'.splitlines(true) }} {{ 'a\n\nb'.splitlines(keepends=true) }} {{ ''.splitlines() }}
{{ 'key: value: x'.partition(': ') }} {{ 'abc'.partition('x') }} {{ 'a:b:c'.rpartition(':') }} {{ 'abc'.rpartition('x') }} {{ 'k=v'.partition('=')[2] }}
{{ 'a'.partition('') }}
{{ 'hello'.index('l') }} {{ 'hello'.find('l') }} {{ 'hello'.find('z') }} {{ 'hello'.rfind('l') }} {{ 'hello'.rindex('l') }} {{ 'hello'.find('l', 3) }} {{ 'hello'.index('l', 0, 3) }} {{ 'héllo'.find('l') }} {{ 'hello'.find('', 9) }} {{ 'hello'.find('o', -2) }} {{ 'hello'.count('l') }} {{ 'hello'.count('') }} {{ 'hello'.count('l', 3) }}
{{ 'hello'.index('z') }}
{{ 'hello'.rindex('z') }}
{{ 'hello'.removeprefix('he') }} {{ 'hello'.removesuffix('lo') }} {{ 'hello'.removeprefix('x') }} {{ 'hello'.removesuffix('') }}
{{ 'hello'.startswith('he') }} {{ 'hello'.endswith(('lo', 'x')) }} {{ 'hello'.startswith('l', 2) }} {{ 'hello'.startswith(('a', 'b')) }} {{ 'hello'.endswith('l', 0, 4) }} {{ ''.startswith('') }} {{ ''.startswith('', 1) }}
{{ 'hello'.startswith(['he']) }}
{{ 'hello'.startswith(1) }}
{{ 'hello'.replace('l', 'L') }} {{ 'hello'.replace('l', 'L', 1) }} {{ 'hello'.replace('', '-') }} {{ 'hello'.replace('l', '', -1) }}
{{ 'hello'.replace('l', 1) }}
{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ '+4'.zfill(4) }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ 'a'.center(4, '*') }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(2) }}
{{ 'a'.ljust(3, 'xx') }}
{{ 'abc'.isalpha() }} {{ 'a1'.isalnum() }} {{ '12'.isdigit() }} {{ '12'.isnumeric() }} {{ '12'.isdecimal() }} {{ ' \n'.isspace() }} {{ 'Ab Cd'.istitle() }} {{ 'ABC'.isupper() }} {{ 'abc1'.islower() }} {{ ''.isalpha() }} {{ 'é'.isalpha() }} {{ 'a b'.isalpha() }} {{ 'abc'.isascii() }} {{ 'a\n'.isprintable() }} {{ 'a_1'.isidentifier() }} {{ '1'.islower() }} {{ '漢字'.isalpha() }} {{ 'AB1'.istitle() }}
{{ ','.join(['a', 'b']) }} {{ ''.join('abc') }} {{ '-'.join({'x': 1, 'y': 2}) }} {{ ', '.join(['a'] | map('upper')) }}
{{ ','.join([1, 2]) }}
{{ 'a\tb'.expandtabs() }} {{ 'a\tb'.expandtabs(4) }} {{ 'ab\n\tc'.expandtabs(tabsize=2) }}
{{ 'x'.encode() }}
{{ 'abc'.upper }}
{{ 'abc'.nothing }}x{{ 'abc'.nothing is defined }}
{{ 'abc'.nothing() }}
{{ 'abc'.strip(1) }}
{{ 'abc'.upper(1) }}
{{ 'x'.__class__ }}y{{ ''.__class__ is defined }}
{{ ''.__class__.__mro__ }}
{{ 'a %s b' % 'x' }} {{ '%s-%s' % (1, 'y') }} {{ '%d' % 5 }} {{ '%05d' % 42 }} {{ '%5.1f|' % 3.14159 }} {{ '%x' % 255 }} {{ '%-5s|' % 'ab' }} {{ '%r' % 'q' }} {{ '%%' % () }} {{ '%(a)s %(b)d' % {'a': 1, 'b': 2} }} {{ '%+d' % 3 }} {{ '%e' % 12345.678 }} {{ '%g' % 0.0001 }} {{ '%g' % 1e20 }} {{ '%s' % none }} {{ '%s' % [1, 'a'] }} {{ '%i' % 3.9 }} {{ '%c' % 65 }} {{ '%*d' % (5, 3) }} {{ '%.2s' % 'abc' }} {{ '%o' % 8 }} {{ '%X' % 255 }} {{ '%#x' % 255 }}
{{ '%s %s' % 'a' }}
{{ '%d' % 'a' }}
{{ 'a' % 'b' }}
{{ '%q' % 1 }}
{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=1) }} {{ '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') }} {{ '{:05d}'.format(42) }} {{ '{:.2f}'.format(3.14159) }} {{ '{:,}'.format(1234567) }} {{ '{{}}'.format() }} {{ '{!r}'.format('a') }} {{ '{:x}'.format(255) }} {{ '{0[a]} {0[b][0]}'.format({'a': 1, 'b': [2]}) }} {{ '{:*^7}'.format('x') }} {{ '{:+}'.format(3) }} {{ '{:%}'.format(0.25) }} {{ '{:e}'.format(1234.5) }} {{ '{:g}'.format(1234567.0) }} {{ '{:08.3f}'.format(-3.14159) }} {{ '{:#x}'.format(255) }} {{ '{:b}'.format(5) }} {{ '{:{}}'.format('a', 3) }}| {{ '{:010,}'.format(1234) }} {{ '{:_}'.format(1234567) }} {{ '{}'.format(none) }} {{ '{:5}|'.format(1.5) }} {{ '{:3}|'.format(true) }}
{{ '{}'.format() }}
{{ '{x}'.format() }}
{{ '{'.format() }}
{{ '{:d}'.format('a') }}
{{ '%s is %d' | format('a', 3) }} {{ '%(x)s' | format(x=5) }}
{{ 5 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 5 is number }} {{ 5.0 is number }} {{ true is number }} {{ true is boolean }} {{ 1 is boolean }} {{ true is integer }} {{ 5 is integer }} {{ 5.0 is float }} {{ 'a' is string }} {{ none is none }} {{ [] is sequence }} {{ {} is mapping }} {{ {} is sequence }} {{ () is sequence }} {{ range(3) is sequence }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }}
{{ 'a' is odd }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is gt(1) }} {{ 1 is le 1 }} {{ 1 is ge 2 }} {{ 1 is in [1] }} {{ 'a' is in 'abc' }} {{ none is sameas none }} {{ 1 is sameas true }} {{ true is sameas true }} {{ 'x' is escaped }} {{ 'upper' is filter }} {{ 'foo' is filter }} {{ 'odd' is test }} {{ 1 is not odd }} {{ not 1 is odd }}
{{ range is callable }} {{ 'a'.upper is callable }} {{ 'a' is callable }} {{ nothing is callable }} {{ namespace is callable }} {{ dict is callable }} {{ raise_exception is callable }} {{ raise_exception is defined }} {{ strftime_now is defined }} {{ namespace() is callable }} {{ joiner() is callable }} {{ cycler('a') is callable }}
{{ 1 is nothing_of_the_kind }}
{% if false %}{{ 1 | no_such_filter }}{% endif %}ok
{% if false %}{{ 1 is no_such_test }}{% endif %}ok
{{ 1 | no_such_filter }}
{{ (1 | no_such_filter) if false else 'ok' }}
{% if false %}{% for x in [1] %}{{ x | no_such_filter }}{% endfor %}{% endif %}ok
{{ 'abc' | upper }} {{ 'ABC' | lower }} {{ 'abc def' | capitalize }} {{ "it's a-test (x) {y}" | title }} {{ ' x ' | trim }}| {{ 'xxaxx' | trim('x') }} {{ 5 | string + 'a' }} {{ none | upper }} {{ none | trim }} {{ [1] | string }}
{{ 'hello' | replace('l', 'L') }} {{ 'hello' | replace('l', 'L', 1) }} {{ 5 | replace(5, 6) }} {{ 'a.b' | replace('.', none) }}
{{ 'a\nb\n\nc' | indent }}| {{ 'a\nb' | indent(2, true) }}| {{ 'a\n\nb' | indent(2, blank=true) }}| {{ 'a\nb' | indent('> ') }} {{ 'a\nb\n' | indent(2) }}|
{{ none | indent }}
{{ 'a' | center(5) }}| {{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }} {{ 'foo bar baz qux' | truncate(11) }} {{ 'foo bar baz qux' | truncate(11, false, '...', 0) }} {{ 'a b c' | wordcount }}
{{ '<a href="x">\'&' | e }} {{ '<b>' | escape ~ '<c>' }} {{ '<b>' | safe }} {{ '<b>' | e | length }} {{ ['<b>' | e] | tojson }} {{ '<b>' | e | e }} {{ '<b>' | e == '&lt;b&gt;' }}
{{ ['b', 'a', 'C'] | sort }} {{ ['b', 'a', 'C'] | sort(case_sensitive=true) }} {{ [3, 1, 2] | sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }} {{ 'bca' | sort }} {{ {'b': 1, 'a': 2} | sort }} {{ [[2, 'a'], [1, 'b']] | sort }} {{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}, {'a': 0, 'b': 3}] | sort(attribute='a,b') }}
{{ [1, 'a'] | sort }}
{{ [none, none] | sort }}
{{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'a': 3} | dictsort(by='value', reverse=true) }} {{ {'b': 1, 'A': 3} | dictsort(true) }}
{{ [1] | dictsort }}
{{ [1, 2, 1, 'a', 'A', 1.0] | unique | list }} {{ ['a', 'A'] | unique(case_sensitive=true) | list }} {{ 'abca' | unique | join }}
{{ [[1], [1]] | unique | list }}
{{ [1, 2, 3] | sum }} {{ [1, 2.5] | sum }} {{ [{'a': 1}, {'a': 2}] | sum(attribute='a') }} {{ [1] | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }} {{ [] | sum }}
{{ ['a', 'b'] | sum }}
{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ ['b', 'A'] | min }} {{ ['b', 'A'] | max(case_sensitive=true) }} {{ [] | min }}x{{ [{'a': 2}, {'a': 1}] | min(attribute='a') }} {{ 'hello' | max }}
{{ [1, 'a'] | max }}
{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ [] | first }}x{{ [] | last }}x {{ 'abc' | first }} {{ 'abc' | last }} {{ {'a': 1, 'b': 2} | first }} {{ {'a': 1, 'b': 2} | last }} {{ range(3) | last }}
{{ 5 | first }}
{{ [1, 2] | map('string') | last }}
{{ [1, 2] | map('string') | length }}
{{ [1, 2] | map('string') }}
{{ [1, 2] | select('odd') | list }} {{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ ['a', 1] | select('string') | list }} {{ none | select | list }} {{ [1, 2] | select('divisibleby', 2) | list }}
{{ none | map('upper') | list }} {{ 0 | select | list }} {{ false | map(attribute='x') | list }}
{{ 5 | select | list }}
{{ ['a', 'b'] | map('upper') | join(', ') }} {{ [' a '] | map('trim') | list }} {{ [[1, 2], [3]] | map('length') | list }} {{ ['ab'] | map('replace', 'a', 'x') | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ [[1, 2]] | map(attribute=0) | list }} {{ [(1, 2)] | map(attribute='1') | list }} {{ [{'a': 1}, {}] | map(attribute='a') | list }} {{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}
{{ [1] | map('no_such_filter') | list }}
{{ [1] | map | list }}
{{ [1] | select('no_such_test') | list }}
{% set x = [1, 2] | map('string') %}{{ x | list }}{{ x | list }}
{% set x = [1, 2, 3] | map('string') %}{{ x | first }}{{ x | list }}
{% set x = [1, 2] | select %}{{ 1 in x }}{{ 1 in x }}{{ x is iterable }}{{ x is sequence }}
{% for a in [1, 2, 3] | map('string') %}{{ a }}{{ loop.length }}{{ loop.last }}{% endfor %}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3] | slice(2, 'x') | list }}
{{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ {'a': 1, 'b': 2} | reverse | list }} {{ range(3) | reverse | list }} {{ ([1, 2] | map('string')) | reverse | list }}
{{ 5 | reverse }}
{{ [1, 2] | reverse }}
{{ [1, 'a', none, true] | join('-') }} {{ 'abc' | join('.') }} {{ [] | join }} {{ [{'a': 1}] | join(',', attribute='a') }} {{ [1, 2] | join(0) }} {{ {'a': 1, 'b': 2} | join(',') }}
{{ none | join }}
{{ [1, 2] | list }} {{ 'ab' | list }} {{ {'a': 1} | list }} {{ (1, 2) | list }} {{ nothing | list }}
{{ {'a': 1} | items | list }} {{ nothing | items | list }}
{{ [1] | items | list }}
{{ {'a': 1} | items }}
{{ '5' | int }} {{ '5.7' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 5.9 | int }} {{ -5.9 | int }} {{ '0x1f' | int(base=16) }} {{ 'ff' | int(0, 16) }} {{ none | int }} {{ ' 12 ' | int }} {{ '1_000' | int }} {{ true | int }} {{ '' | int(default=3) }} {{ '1e3' | int }} {{ [] | int }}
{{ 1e400 | int }}
{{ '5' | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 3 | float }} {{ 'inf' | float }} {{ 'nan' | float }} {{ '1e3' | float }} {{ none | float }}
{{ nothing | int }}
{{ nothing | float }}
{{ 3.7 | round }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ 3.2 | round(0, 'ceil') }} {{ 3.7 | round(method='floor') }} {{ 5 | round }} {{ 2.675 | round(2) }} {{ 1.005 | round(1, 'ceil') }} {{ -2.5 | round }} {{ 0.125 | round(2) }}
{{ 'a' | round }}
{{ 5 | abs }} {{ -5 | abs }} {{ 5.5 | abs }} {{ true | abs }}
{{ 'a' | abs }}
{{ {'a': 1} | attr('a') }}x{{ 'abc' | attr('upper') is callable }}{{ {'a': 1} | attr('items') is callable }}
{{ {'a': 1, 'b': [1, 2], 'c': none, 'd': true, 'e': 1.0, 'f': 'x"y\\z\n\t\u0001é<&/>', 'g': {}, 'h': []} | tojson }}
{{ {'b': 1, 'a': {'d': 1, 'c': [1, {}]}} | tojson(indent=2, sort_keys=true) }} {{ {'b': 1} | tojson(2) }} {{ [1, [2]] | tojson(indent='--') }} {{ [1, 2] | tojson(separators=(',', ':')) }} {{ [1, 2] | tojson(indent=0) }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ {'a': 1} | tojson(indent=none) }} {{ 'é\x7f' | tojson(true) }} {{ [1, 2] | tojson(indent=1, separators=('; ', '=')) }}
{{ (1, 2) | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ 1e16 | tojson }} {{ 1e-7 | tojson }} {{ 'a/b' | tojson }} {{ ('nan' | float) | tojson }} {{ -0.0 | tojson }} {{ 12345678901234567890123 | tojson }}
{{ nothing | tojson }}
{{ range(3) | tojson }}
{{ {'a': 1}.items() | tojson }}
{{ namespace(a=1) | tojson }}
{{ {'a': nothing} | tojson }}
{{ {1: 2, 'a': 3} | tojson(sort_keys=true) }}
{{ [1] | tojson(wrong=1) }}
{{ 'yes' if true else 'no' }} {{ 'yes' if false }}x {{ 1 if 0 else 2 if 0 else 3 }} {{ ('a' if false) is defined }} {{ ('a' if 0 else none) }} {{ [1 if true else 2, 3] }}
{{ ('a' if false).x }}
{% if 0 %}a{% elif '' %}b{% elif [] %}c{% elif {} %}d{% elif none %}e{% elif 0.0 %}f{% else %}g{% endif %}
{{ 1 and 2 }} {{ 0 and 2 }} {{ 0 or 'x' }} {{ '' or none }} {{ not 1 }} {{ not not 1 }} {{ 1 and 0 or 3 }} {{ true and not false }}
{% set x = 5 %}{{ x }}{% set x, y = 1, 2 %}{{ x }}{{ y }}{% set (a, b) = [3, 4] %}{{ a }}{{ b }}{% set t = 1, %}{{ t }}
{% set a, b = [1] %}
{% set a, b = 'xy' %}{{ a }}{{ b }}
{% set x %}  block {{ 1 + 1 }} {% endset %}[{{ x }}]{{ x is string }}
{% set x | upper | trim %} abc {% endset %}[{{ x }}]
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% for i in [1] %}{% set x = 3 %}{{ x }}{% endfor %}{{ x }}
{% for i in [1, 2] %}{% if i == 1 %}{% set y = 'set' %}{% endif %}{{ y }}|{% endfor %}
{% for i in [1, 2] %}{% set i = i * 10 %}{{ i }} {% endfor %}{{ i }}
{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns['x'] }}{{ ns.y }}{{ ns.y is defined }}
{% set ns = namespace(items=[]) %}{% for i in range(3) %}{% set ns.items = ns.items + [i] %}{% endfor %}{{ ns.items }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}{% set ns.a, ns.b = 5, 6 %}{{ ns.a }}{{ ns.b }}
{% set ns = namespace(_x=1) %}
{% set d = {} %}{% set d.x = 1 %}
{% set x.y = 1 %}
{{ namespace(a=1) }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set a = 9 %}{% endwith %}{{ a }}
{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% macro f(a, b=2, *c) %}{% endmacro %}
{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=1, a=2) }} {{ f() }} {{ f(a=5) }} {{ f(*[7, 8]) }} {{ f(**{'a': 9}) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(c=1) }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}
{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(3) }}
{% macro f() %}{{ v }}{% endmacro %}{% set v = 1 %}{{ f() }}{% set v = 2 %}{{ f() }}
{% macro f() %}{{ v }}{% endmacro %}{% for v in [1] %}{{ f() }}{% endfor %}x
{% macro f() %}{% set v = 5 %}{{ v }}{% endmacro %}{{ f() }}{{ v }}
{% set v = 1 %}{% macro f(v) %}{{ v }}{% endmacro %}{{ f(2) }}{{ f() }}{{ v }}
{% macro f(a, b) %}{% endmacro %}{{ f.name }} {{ f.arguments }} {{ f.catch_kwargs }}{{ f.caller }} {{ f is callable }}
{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}inner{% endcall %}
{% macro f() %}[{{ caller(1, x=2) }}]{% endmacro %}{% call(a, x) f() %}{{ a }}{{ x }}{% endcall %}
{% macro f() %}x{% endmacro %}{% call f() %}inner{% endcall %}
{% macro f(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ f() }}{% call f() %}yes{% endcall %}
{% macro f() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ f() }}
{% macro f() %}a{{ 1 }}{% endmacro %}{{ f() | upper }}{{ f() ~ 'x' }}{{ f() + 'y' }}{{ f() is string }}
{% macro outer() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{{ inner() }}{% endmacro %}{{ outer() }}
{% macro f(p) %}{% for k, v in p.items() %}{{ k }}{% if v is mapping %}({{ f(v) }}){% else %}={{ v }}{% endif %}{% if not loop.last %},{% endif %}{% endfor %}{% endmacro %}{{ f({'a': {'b': {'c': 1}}, 'd': 2}) }}
{% filter upper %}abc {{ 'd' }}{% endfilter %}
{% filter replace('a', 'b') | indent(2, true) %}aaa{% endfilter %}
{% for x in [[1, [2, [3]]], 4] recursive %}{% if x is sequence %}<{{ loop(x) }}>{% else %}{{ x }}@{{ loop.depth }}{{ loop.depth0 }}{% endif %}{% endfor %}
{% for x in [1] %}{{ loop(x) }}{% endfor %}
{% for x in [1, 2, 3] if x > 1 %}{{ loop.index }}{{ x }}{% else %}none{% endfor %}
{% for x in [1] if x > 1 %}{{ x }}{% else %}none{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for (a, b) in [[1, 2]] %}{{ a + b }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for x in [1, 2] %}{% set outer = loop %}{% for y in [3, 4] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for x in range(5) %}{% if x == 3 %}{% break %}{% endif %}{% for y in [1, 2] %}{% if y == 2 %}{% continue %}{% endif %}{{ x }}{{ y }}{% endfor %}{% endfor %}
{% for x in [1, 2] %}{% break %}{% else %}else{% endfor %}x
{% break %}
{% for x in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}
{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}
{{ loop }}
{{ loop.index }}
{% for x in [1] %}{{ loop.nothing }}{% endfor %}x
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner(', ') %}{% for x in [1, 2, 3] %}{{ j() }}{{ x }}{% endfor %}
{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M:%S') }} {{ strftime_now('%A, %B %d, %Y') }} {{ strftime_now('%-d/%-m/%y %I:%M %p') }} {{ strftime_now('%j %a %e %F %T %%') }} {{ strftime_now('%U %W %w %u %C %D %R %h %c|%x|%X|%Z|%z') }}
{{ strftime_now() }}
{{ raise_exception('no way') }}
{{ raise_exception(1) }}
{{ raise_exception() }}
{% if false %}{{ raise_exception('x') }}{% endif %}ok
{% raw %}{{ not }} {% this %}{% endraw %}x
{%- raw -%}  {{ a }}  {%- endraw -%}  x
  {% raw %} a {% endraw %}
{# comment #}a{#- x -#} b {#+ y +#}
a {{- 1 -}} b {{ 2 }} c {%- if true -%} d {%- endif -%} e
{{ '{{ }}' }} {{ "%}" }} {{ '#}' }} {{ {'a': {'b': 1}}['a']['b'] }} {{ {'a': {'b': {}}} }}
{{ 'a' 'b' "c" }} {{ 'a\x41\u00e9\101\n' }} {{ '\q' }} {{ "\"" }} {{ '\\n' }}
{{ [1, 2, ] }} {{ (1, ) }} {{ {'a': 1, } }} {{ [] }} {{ {} }} {{ () }}
{{ True }} {{ False }} {{ None }} {{ true }} {{ none }}
{{ self }}
{{ 1 if }}
{{ [1, 2 }}
{{ (1 }}
{% if %}x{% endif %}
{% if true %}x
{% endif %}
{% for x in %}{% endfor %}
{% unknown %}
{% do [1] %}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{% block a %}b{% endblock %}c
{% set v = 1 %}{% block a %}{{ v }}{% endblock a %}
{% for v in [7] %}{% block a %}{{ v }}{% endblock %}{% endfor %}
{{ 1 ~ 2 | string ~ 3 }} {{ 1 + 2 * 3 - 4 / 2 }} {{ (1 + 2) * 3 }} {{ 10 - 2 - 3 }} {{ 2 ** 3 ** 2 }} {{ not 1 == 2 }} {{ 1 == 1 and 2 == 2 }} {{ -1 + 2 }} {{ 7 - -1 }} {{ 1 - 1 }}
{{ 'a' if 1 is odd and 'x' in 'xyz' else 'b' }} {{ 1 is odd and 2 is even }} {{ 2 is odd or true }} {{ 3 is not divisibleby 2 }} {{ 'x' is string and 'y' }}
{{ 1.5.real }}
{{ 5.bit_length() }}
{{ [[1, 2], [3, 4]][1][0] }} {{ 'a b'.split()[1].upper()[0] }} {{ ('x' * 3)[1:] }} {{ [1, 2, 3][1:] | first }} {{ ({'a': [1]}).a[0] }} {{ "a-b"|replace("-", "+")|upper }}
{{ 'abc'|upper()|lower }} {{ ('a' ~ 'b')|upper }} {{ 'a' ~ 'b'|upper }} {{ -1|string }} {{ 1 + '2'|int }}
{{ lipsum }}
{{ x.y.z is defined }}
{{ {}.y.z is defined }}
{{ {}.y is defined }}
{{ 'é' | length }} {{ '🙂' | length }} {{ 'e\u0301' | length }} {{ '🙂a'[1] }}
{{ caller() }}
{{ varargs }}x
{{ "a" if "b" in ["b"] else "c" if true else "d" }}
{{ [x for x in [1]] }}
{{ 1 not in [2] and 1 in [1] }} {{ 1 in [1] in [true] }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'a', true: 'b', 1.0: 'c'} }}
{% set x = {'a': [1, 2]} %}{{ x.a[0] }}{{ x['a'][-1] }}{{ x.a | length }}
{% set s = "x" %}{% set s = s + "y" %}{% set s = s ~ 1 %}{{ s }}
{% print 'x' %}
{% if true: %}x{% endif %}
{% set x = 5 if false %}{{ x }}|{{ x is defined }}
{{ ({'a': 1}).items() | map('first') | list }} {{ {'a': 1}.items() | map('last') | list }} {{ {'b': 1, 'a': 2}.items() | sort }} {{ {'a': 1}.items() | list | first }} {{ {'a': 1}.values() | sum }} {{ {'a': 1}.keys() | list + ['x'] }} {{ 'a' in {'a': 1}.keys() }} {{ 1 in {'a': 1}.values() }} {{ ('a', 1) in {'a': 1}.items() }}
{{ {'a': 1}.keys() + ['x'] }}
{{ [ {'a': 1} ] | first.a }}
{{ ([{'a': 1}] | first).a }} {{ ({'a': [1, 2]}.a | last) + 1 }} {{ ('x' if true else 'y') ~ 'z' }}
{% for k, v in {'a': 1, 'b': 0, 'c': 2}.items() if v %}{{ k }}{{ loop.last }}{% endfor %}{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}{% for v in {'x': 5}.values() %}{{ v }}{% endfor %}
{{ 'İ'.lower() | length }} {{ 'ﬁx'.upper() }} {{ 'ﬁx'.title() }} {{ 'ŉa'.capitalize() }} {{ 'ÿ'.upper() }} {{ 'ΌΣΟΣ'.lower() }} {{ 'ẞ'.lower() }} {{ 'éÀ'.swapcase() }} {{ 'ñandú'.title() }} {{ "they're bill's".title() }} {{ "x1y z_a".title() }} {{ '2nd'.capitalize() }} {{ 'ÉCOLE'.capitalize() }}
{{ 'ǆ'.title() }}
{{ 'aΣ'.title() }}
{{ 1 + 1.0 }} {{ 3.0 * 2 }} {{ 10 / 5 }} {{ 1e3 | int }} {{ 7.0 // 2 }} {{ 2 ** 62 }} {{ 2 ** 64 }} {{ -2 ** 63 }} {{ 1.1 + 2.2 }} {{ 1 / 3 }} {{ 100 * 1.1 }} {{ 0.1 * 3 }} {{ 1e-10 }} {{ 12345678.9 }} {{ 1e15 }} {{ 123456789012345678 }} {{ 0.00001234 }} {{ 1e100 }} {{ 2.0 ** 0.5 }} {{ 5 % 2.5 }} {{ 5.5 % 2 }} {{ -5.5 // 2 }} {{ 0.0 == -0.0 }}
{{ '%.1f' % 2 }} {{ '%5s|%-5s|' % ('a', 'b') }} {{ '%3d%%' % 50 }} {{ '%s' % 'é' }} {{ '%s' % {'a': 1} }} {{ '%s' % ((1, 2),) }} {{ '%.3g' % 1234.5 }} {{ '%G' % 1e-10 }} {{ '%E' % 0 }} {{ '%05.1f' % 3.14159 }} {{ '% d' % 5 }} {{ '%.0f' % 0.5 }} {{ '%.0f' % 1.5 }} {{ '%f' % 1 }} {{ '%s %%' % 1 }} {{ '%d' % true }} {{ '%s' % true }} {{ '%5.2s|' % 'abc' }} {{ '%(x)5.1f|' % {'x': 2} }} {{ '%r %r' % ('a', none) }} {{ '%d' % -5 }} {{ '%05d' % -5 }}
{{ 'x' % {} }} {{ 'x' % [] }}
{{ 'x' % () }} {{ 'x' % 1 }}
{{ '%s' % () }}
{{ '%(a)s' % 1 }}
{{ '%(a)s' % {} }}
{{ '%' % () }}
{{ '{:<10}|{:>10}|{:^10}|'.format('é', 1, 2.5) }} {{ '{:,.2f}'.format(1234567.891) }} {{ '{:+,d}'.format(1000) }} {{ '{:e}'.format(0.0) }} {{ '{:.0f}'.format(2.5) }} {{ '{:.3}'.format('abcdef') }} {{ '{:6.2f}|'.format(1) }} {{ '{:.1%}'.format(0.1234) }} {{ '{:o} {:X}'.format(8, 255) }} {{ '{a.x}'.format(a={'x': 1}) }} {{ '{0!s:>3}'.format(1) }} {{ '{:=+5d}'.format(3) }} {{ '{:-^9}'.format('mid') }} {{ '{:d}'.format(true) }} {{ '{}'.format(1.0) }} {{ '{:n}'.format(5) if false }} {{ '{} {} {}'.format(*[1, 2, 3]) }} {{ '{x[0]}{x[1]}'.format(x=[1, 2]) }}
{{ '{:.2}'.format(3.14159) }}
{{ '{:s}'.format(1) }}
{{ '{0} {}'.format(1, 2) }}
{{ '{:>{w}}'.format('a', w=4) }} {{ '{!r:>5}'.format('a') }} {{ '{[a]}'.format({'a': 3}) }} {{ '{.x}'.format({'x': 3}) }} {{ '{:}'.format('') }}|
{{ '{a}'.format(**{'a': 1}) }} {{ '{}'.format([1, 'a']) }} {{ '{}'.format({'a': none}) }}
{{ '{:5}'.format(none) }}
{{ '{:5}'.format([1]) }}
{{ ' a b '.split(' ', -1) }} {{ 'aXbXc'.split('X', 0) }} {{ 'a\x1cb'.split() }} {{ '\u00a0a\u2003b'.split() }} {{ 'a,,b'.split(',') }} {{ ',a,'.split(',') }} {{ 'abab'.split('ab') }} {{ 'a b c d'.rsplit(' ', 2) }} {{ 'aXXb'.rsplit('X') }} {{ 'abc'.rsplit('b', 5) }} {{ 'one two'.split(' ')[-1] }} {{ 'x'.split(',', maxsplit=-1) }} {{ 'a  b'.split(none) }}
{{ 'a b'.split(sep=none, maxsplit=1) }} {{ 'a b'.split(' ', 1, 2) }}
{{ 'a b'.split(wrong=1) }}
{{ 'abc'.find(1) }}
{{ 'abc'.count(none) }}
{{ 'abc'.startswith() }}
{{ 'abc'.center() }}
{{ 'abc'.join() }}
{{ 'x'.zfill('3') }}
{{ '\t'.isspace() }} {{ '½'.isnumeric() if false }} {{ '٣'.isdigit() if false }} {{ 'a'.isdecimal() }} {{ '1.5'.isdigit() }} {{ '-1'.isnumeric() }} {{ 'Ünïcode'.isalpha() }} {{ 'привет'.isalpha() }} {{ 'ひらがな'.isalpha() }} {{ '한글'.isalnum() }} {{ 'A B'.isupper() }} {{ 'A1!'.isupper() }} {{ 'ß'.islower() }} {{ 'Hello World'.istitle() }} {{ 'HEllo'.istitle() }} {{ ''.istitle() }} {{ ''.isspace() }} {{ ''.isascii() }} {{ ''.isprintable() }} {{ 'é'.isprintable() }} {{ '\u200b'.isprintable() }} {{ 'if'.isidentifier() }}
{{ '²'.isdigit() }}
{{ [1, 2] == [1, 2] }} {{ [1] != [1.0] }} {{ {'a': [1]} == {'a': [1]} }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ range(3) == [0, 1, 2] }} {{ 'a' == 'a' }} {{ (1, 2) == (1, 2) }} {{ true == 'true' }} {{ 1 != '1' }} {{ none != nothing }} {{ [none] == [nothing] }} {{ 'x' in ['x', 'y'] and 'z' not in 'xy' }}
{{ 1 < 2 == true }} {{ (1 < 2) == true }} {{ 1 == 1 == 1 }} {{ 'a' in 'ab' == true }} {{ not 'a' == 'b' }} {{ 2 > 1 and 1 > 0 or false }}
{{ [1, 2, 3][0:2][::-1] }} {{ 'hello'[-3:-1] }} {{ 'hello'[10:] }}| {{ 'hello'[:100] }} {{ [][0:1] }} {{ [1, 2, 3][:-5] }} {{ [1, 2, 3][-100:2] }} {{ 'hello'[::2] }} {{ 'hello'[4::-2] }} {{ (1, 2, 3)[::-1] }} {{ range(10)[-3:] }} {{ range(10)[::-2] | list }} {{ [1, 2, 3][none:none:none] }}
{{ [[1, 2], [3]] | sum(start=[]) }} {{ [(1, 2)] | map('last') | list }} {{ [3, 1, 2] | sort | first }} {{ [3, 1, 2] | sort | reverse | list }} {{ ['b', 'a'] | sort(reverse=true) | join }} {{ [1, 2, 3, 4] | select('even') | map('string') | join(',') }} {{ ['a', 'b'] | map('upper') | list | last }} {{ {'a': 1} | list | length }} {{ 'abc' | list | reverse | join }} {{ [0, 1, none, '', 'a'] | select | list }} {{ [0, 1, none, '', 'a'] | reject | list }} {{ [1, none] | reject('none') | list }} {{ ['a', 'bb'] | selectattr('nothing') | list }} {{ [{'a': 1}, {'b': 2}] | selectattr('a', 'defined') | list }} {{ [{'a': none}] | rejectattr('a') | list }} {{ ['x', 'y'] | map('replace', 'x', 'z') | join }} {{ [1, 2, 3] | batch(2) | map('first') | list }} {{ ['a', 'b'] | map('indent', 2, true) | list }} {{ [1.5, 2.5] | map('round') | list }} {{ ['1', 'x'] | map('int', default=-1) | list }} {{ [' a'] | map('trim') | first }}
{{ ['a'] | map('format', 1) | list }}
{{ ['%s!'] | map('format', 1) | list }} {{ ['a', 'b'] | map('default', 'x') | list }} {{ [nothing] | map('default', 'x') | list }} {{ [{'x': {'y': [5, 6]}}] | map(attribute='x.y.1') | list }} {{ ['ab', 'c'] | map('first') | list }} {{ ['ab', 'c'] | map('list') | list }} {{ ['a', 'b'] | map('tojson') | join(',') }} {{ [[3, 1], [2]] | map('sort') | list }} {{ [[1, 2], [3]] | map('join', '-') | list }} {{ ['a'] | map(attribute='upper') | list | length }}
{{ 'a-b_c d' | title }} {{ "o'neil (jr) [x] {y} <z> a/b" | title }} {{ 'ABC' | capitalize }} {{ '' | title }} {{ 5 | title }} {{ none | capitalize }} {{ 'x\ty' | title }} {{ 'a–b' | title }}
{{ 'a\nb' | indent(width=3) }} {{ 'a' | indent }} {{ '' | indent(2, true) }}| {{ '\na' | indent(2) }}| {{ 'a\r\nb' | indent(2) }}| {{ 'a\n  \nb' | indent(2) }}| {{ 'a\nb' | indent(first=true) }}
{{ '  x\n' | trim }} {{ 'xxyxx' | trim('x') }} {{ 5 | trim }} {{ 'abc' | trim('ac') }} {{ nothing | trim }}| {{ [1] | trim }}
{{ '' | default('x') }}| {{ 0 | default(5, true) }} {{ false | default('f') }} {{ nothing | default }}| {{ nothing | default(none) }} {{ nothing | default(default_value='k') }} {{ [] | default('e', true) }} {{ {}.x | default('y') }} {{ (nothing | default('a')) | upper }}
{{ nothing.x | default('y') }}
{{ 5 | default('a', 'b', 'c') }}
{{ 'a,b' | replace(',', ';') | upper }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'aaa' | replace('a', 'b', count=1) }} {{ none | replace('None', 'x') }} {{ 'abc' | replace('', '-') }}
{{ 'a' | replace('a') }}
{{ [1, 2] | join(', ', 'x') }} {{ ['a', none] | join('|') }} {{ [['a'], ('b',)] | join }} {{ range(3) | join('-') }} {{ {'k': 1}.items() | join }} {{ nothing | join }}| {{ [nothing, 1] | join(',') }}
{{ 5 | join }}
{{ 3 | tojson }} {{ 'a' | tojson }} {{ none | tojson }} {{ true | tojson }} {{ [] | tojson(indent=2) }} {{ {} | tojson(indent=2) }} {{ [[], {}] | tojson(indent=2) }} {{ {'a': []} | tojson(indent=2) }} {{ {'é': '\u2028'} | tojson }} {{ '\x1f\x7f\x80' | tojson }} {{ '😀\ud7ff' | tojson(ensure_ascii=true) }} {{ "</script>'" | tojson }} {{ {'b': {'z': 1, 'a': 2}, 'a': 1} | tojson(sort_keys=true) }} {{ {2: 1, 10: 2} | tojson(sort_keys=true) }} {{ 1.5e300 | tojson }} {{ 1e-5 | tojson }} {{ [1.0, 100.0] | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ [1] | map('string') | tojson }}
{{ joiner | tojson }}
{{ 'x' | tojson(indent=2, separators=(',',)) }}
{{ 'x' | tojson(separators='ab') }}
{{ [1, 2] | tojson(separators=[', ', ': ']) }}
{{ 'abc' | length == 3 }} {{ 'abc'|length > 2 and true }} {{ [1]|length - 1 }} {{ -'abc'|length }} {{ 2 * [1, 2]|length }} {{ not []|length }} {{ 'a' ~ [1]|length ~ 'b' }} {{ [1, 2]|length is even }} {{ ('a' * 3)|length }}
{{ 1 if true else 2 if true else 3 }} {{ (1 if false else 2) if true else 3 }} {{ 1 if false else (2 if false else 3) }} {{ [1 if true else 0, 2 if false else 5] }} {{ {'a': 1 if true else 2} }} {{ 'x' if nothing is defined and nothing.y else 'z' }} {{ 'a' if not none }} {{ 'b' if [] else 'c' if {} else 'd' }}
{% set a = b = 1 %}
{% set a.b.c = 1 %}
{% set 'a' = 1 %}
{% set none = 1 %}
{% set loop = 1 %}{{ loop }}
{% for loop in [1] %}{% endfor %}
{% for x in [1] %}{{ x }}{% endfor
{% if true %}
{% endif %}
{% else %}
{% for x in [1] %}{% endif %}
{% macro f( %}{% endmacro %}
{% macro f(a=1, b) %}{% endmacro %}
{{ f(a=1, 2) }}
{{ f(**{}, 1) }}
{{ 'a }}
{{ 1 2 }}
{{ a b }}
{{ }}
{{ . }}
{{ a. }}
{{ a[ }}
{{ a['x'] b }}
{{ {'a' 1} }}
{{ 'a' | }}
{{ | upper }}
{{ 1 is }}
{{ @ }}
{{ $x }}
{{ x! }}
{{ a && b }}
{{ a ? b : c }}
{{ [*[1]] }}
{{ "\u12" }}
{{ 08 }}
{{ 1__0 }}
{{ 1.e5 }}
{{ .5 }}
{{ 1.2.3 }}
{{ [1, 2].0 }} {{ [[1, 2]].0.1 }} {{ {'a': [5]}.a.0 }} {{ 'abc'.1 }}
{{ 5 .real if false }}{{ x.1 is defined }}
{#- a -#} b {#- c
{% raw %} abc
{% raw %}a{% endraw %}{% raw %}{{ b }}{% endraw %}
{{ "{% raw %}" }}{{ '{#' }}
{%if true%}a{%endif%}{%-if true-%} b {%-endif-%}
{{'a'}}{{-'b'-}}{{ 'c'}}
{%set x=1%}{{x}}{%set y={'a':{'b':1}}%}{{y.a.b}}{{{'a':1}.a}}{{{'a':{'b':2}}['a']['b']}}
{% set x = [1, 2, 3] %}{% for i in range(x | length) %}{{ x[i] }}{{ x[-i - 1] }}{% endfor %}
{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }}{{ loop.index }} {% else %}e{% endfor %}{% endfor %}
{% for i in [3, 1, 2] | sort %}{{ i }}{{ ',' if not loop.last }}{% endfor %}{% for i in range(3) | reverse %}{{ i }}{% endfor %}{% for a in 'x,y'.split(',') %}{{ a }}{{ loop.revindex }}{% endfor %}
{% for i in range(10) if i is divisibleby 3 %}{{ i }}{{ loop.index }}{{ loop.length }}{{ loop.last }} {% endfor %}
{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% else %}never{% endfor %}
{% for x in [1] %}{% continue %}{% else %}else{% endfor %}
{% for x in [1, 2] %}{% if x == 2 %}{% break %}{% endif %}{% else %}else{% endfor %}x
{% for x in [[1, 2], [3]] %}{% for y in x %}{{ y }}{{ loop.last and not loop.first }}{% endfor %}{% endfor %}{{ x }}
{% for x in {'a': {'b': {}}} recursive %}{{ x }}{% endfor %}{% for k, v in {'a': {'b': {'c': {}}}}.items() recursive %}{{ k }}({{ loop(v.items()) }}){{ loop.depth }}{% endfor %}
{% for x in [1, 2] %}{% set loop_index = loop.index %}{% for y in 'ab' %}{{ loop_index }}{{ y }}{% endfor %}{% endfor %}
{% macro a(x) %}<{{ x }}>{% endmacro %}{% macro b(x) %}{{ a(a(x)) }}{% endmacro %}{{ b(1) }}{{ [1, 2] | map('string') | map('upper') | join }}{{ a(x=b(2)) }}
{% macro f(x, y=[]) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}{{ f(1, [2]) }}{{ f(y=3, x=2) }}{{ f(none) }}
{% macro f(x) %}{% set x = x ~ '!' %}{{ x }}{% endmacro %}{{ f('a') }}{{ f('b') }}
{% macro f() %}{{ messages | length }}{{ bos_token }}{% endmacro %}{{ f() }}
{% macro f(ns) %}{% set ns.n = ns.n + 1 %}{% endmacro %}{% set ns = namespace(n=0) %}{{ f(ns) }}{{ f(ns) }}{{ ns.n }}
{% set x = 'outer' %}{% macro f() %}{{ x }}{% set x = 'inner' %}{{ x }}{% endmacro %}{{ f() }}{{ x }}
{% set x = 1 %}{% with %}{% set x = 2 %}{{ x }}{% endwith %}{{ x }}
{% set x = 1 %}{% filter upper %}a{% set x = 2 %}{{ x }}{% endfilter %}{{ x }}
{% set x = 1 %}{% set y %}{% set x = 2 %}{{ x }}{% endset %}{{ x }}{{ y }}
{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}
{% for x in [1, 2] %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for x in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% set ns = namespace(a=[1], b={}) %}{% set ns.a = ns.a + [2] %}{% set ns.b = dict(ns.b, x=1) %}{{ ns.a }}{{ ns.b }}{{ ns.a is sequence }}{{ ns is mapping }}{{ ns is iterable }}{{ ns is defined }}
{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns = namespace(x=i) %}{% endfor %}{{ ns.x }}
{{ namespace(1) }}
{{ range() }}
{{ range(1, 2, 0) }}
{{ range(1.5) }}
{{ dict(1) }}
{{ dict(a=1, a=2) }}
{{ cycler() }}
{{ strftime_now(1) }}
{{ strftime_now('no fields') }} {{ strftime_now('') }}| {{ strftime_now('%B %-d, %Y') }} {{ strftime_now('%H:%M') }} {{ strftime_now('100%%') }} {{ strftime_now('%y%m%d') }}
{{ 'a' is eq('a') }} {{ 1 is in([1, 2]) }} {{ 1 is not in [2] }} {{ 'a' is string and 1 is number }} {{ not none is defined }} {{ 5 is divisibleby(5) and 5 is odd }} {{ 'A' is upper is defined if false }} {{ [] is iterable and [] is not string }} {{ 1 is sameas 1.0 }} {{ {} is not sequence }} {{ 'x' is not mapping }}
{{ 1 is number is string }}
{{ 5 is divisibleby 0 }}
{{ 5 is divisibleby }}
{{ 'a' is defined 'b' }}
{{ none is lower }} {{ 5 is upper }} {{ 'É' is upper }}
{{ 'x' is in none }}
{{ x is defined and x > 1 }} {{ x is undefined or x.y }} {{ (x or {}).y is defined }} {{ x if x is defined else 'd' }}
{{ ['a', 'b', 'c'].index('b') }} {{ 'abc'.index('c') }} {{ ['a'] * 3 }} {{ [] + [] }} {{ [1] + [[2]] }} {{ ('a', 'b') | join }} {{ ('a',) + ('b',) }} {{ 'a' in ('a', 'b') }}
{{ [1, 2].__len__ }}x
{{ ''.join(['a', none]) }}
{{ 'a'.upper().lower().title().strip().split('x')[0].replace('A', 'b') }}
{{ {'a': 1}.items() | list | tojson }} {{ {'a': {'b': 1}}.items() | first | last }} {{ {'a': 1}.keys() | first }} {{ dict([['k', 'v']]).k }} {{ dict(zip=1) }} {{ {'get': 1}.get('get') }} {{ {'x': 1}.get('x', 2) + 1 }} {{ {'a': none}.get('a', 'd') }}
{{ {'a': 1}.get() }}
{{ {'a': 1}.items(1) }}
{{ {[]: 1} }}
{{ {{}: 1} }}
{{ {'a': 1} + {'b': 2} }}
{{ {'a': 1} | upper }} {{ {'a': 1} ~ '' }} {{ [1] ~ (2,) ~ none }} {{ true ~ false }} {{ 1.0 ~ '' }}
{{ caller }}x{{ kwargs }}y
{{ "tab\there" }} {{ 'nl\\n' }} {{ 'q\"q' }} {{ "q'q" }} {{ 'u\u00e9\U0001F600' }} {{ '\x41' }} {{ 'a\
b' }} {{ '\101\60' }}
{{ "é" "è" }} {{ 'a' ~ "b" 'c' }} {{ ('a'
'b') }}
{{ 'a' if 'x' == "x" else "b" }}{{ "}}" }}{{ '%}' }}{{ "{{" }}
{{ lipsum() if false else 'ok' }} {{ lipsum is callable }}
{{ [1, 2, 3] | random if false else 'ok' }}
{{ 'http://a b/é?x=1' | urlencode }}
{{ 'a b c' | wordwrap(3) }}
{{ '<b>x</b>' | striptags }}
{{ 1000 | filesizeformat }}
{{ {'a': 1} | pprint }}
{{ {'a': 1} | xmlattr }}
{{ ('<' | e) + '<' }}
{{ ('<' | e) | upper }}
{{ ('<' | e) ~ '<' }} {{ '<' | e }} {{ ['<' | e, '>'] | join }} {{ '<' | e | string }} {{ ('a' | e) in 'abc' }} {{ ('<' | e) == '&lt;' }} {{ ('a' | e) is string }} {{ ('' | e) or 'x' }}
{{ 123 | string | length }} {{ 123 | string | reverse }} {{ '321' | reverse | int + 1 }} {{ '3.9' | float | int }} {{ '3' | int * 2 }} {{ 5 | float }} {{ '1,000' | replace(',', '') | int }} {{ 3.999 | round(2) | string }} {{ 1234.5 | round | int }} {{ 2 | round(2) }} {{ 1.25 | round(1) }} {{ 1.35 | round(1) }} {{ -1.5 | round }} {{ 0.5 | round }} {{ 1e20 | round }} {{ 3.14159 | round(3, 'floor') }} {{ 3.14159 | round(2, 'ceil') }}
{{ 15 | round(-1) }}
{{ 'é😀' | list }} {{ 'é😀'[::-1] }} {{ 'a😀b'.find('b') }} {{ 'a😀b'[1:2] }} {{ '😀'.center(3, '.') }} {{ '😀' in 'a😀' }}
{{ [['b', 2], ['a', 1]] | sort }} {{ [('b', 2), ('a', 1)] | sort(attribute=1) }} {{ ['B', 'a', 'C'] | sort }} {{ ['B', 'a'] | sort(false, true) }} {{ [true, false] | sort }} {{ [1.5, 1] | sort }} {{ [] | sort }} {{ {'b': 1, 'a': 2}.items() | sort(attribute='1') }} {{ [{'a': 'x'}, {'a': 'X'}, {'a': 'w'}] | sort(attribute='a') | map(attribute='a') | list }}
{{ [{}] | sort(attribute='x') }} {{ [{'x': 1}, {'x': 2}] | max(attribute='x') }} {{ ['a', 'B'] | min }} {{ [1, 2.5] | max }}
{{ [{}, {}] | sort(attribute='x') }}
{{ [{'k': 'a', 'v': 1}, {'k': 'b', 'v': 2}, {'k': 'A', 'v': 3}] | groupby('k') | list | length }} {% for k, g in [{'k': 'a', 'v': 1}, {'k': 'b', 'v': 2}, {'k': 'A', 'v': 3}] | groupby('k') %}{{ k }}:{{ g | map(attribute='v') | list }};{% endfor %}{% for k, g in [{'k': 1}, {}] | groupby('k', default=0) %}{{ k }}{{ g }}{% endfor %}{{ [{'k': 1}] | groupby('k') }}{% for k, g in [{'k': 'a'}, {'k': 'A'}] | groupby('k', case_sensitive=true) %}{{ k }}{% endfor %}
{{ [1, [2, [3]]] }} {{ [[]] }} {{ [{}] }} {{ {'a': {}} }} {{ ((1, 2), 3) }} {{ ([1], {'a': (1,)}) }} {{ ['a\'b', "c\"d", 'e\\f', '\x1b', '\u3000', '\ud7ff', '\ue000', '\U0010ffff', 'ß', '\xad'] }}
{{ [1e20, 1.0, -0.0, 1e-7, 123456.789] }} {{ [true, none, nothing] }} {{ {'a': nothing, none: 1} }}
""".strip("\n").split("\n")

# Idioms that span lines: the control of white space.
LINES = [
    "  {% if true %}\n    a\n  {% endif %}\n  b\n",
    "{% for x in [1, 2] %}\n{{ x }}\n{% endfor %}\nend\n",
    "a\n\n{%- if true %}\nb\n{%- endif %}\n\nc",
    "  {%+ if true %}a\n  {%+ endif %}\n",
    "{% if true +%}\n  a{% endif +%}\nb",
    "x  {% if true %}  y  {% endif %}  z",
    "a\n  {# comment #}\nb\n  {#- comment -#}\n  c",
    "a\r\nb\r{{ 'c\r\nd' }}\n\n",
    "{{ 1 }}\n{{ 2 }}\n\n",
    "\t{% set x = 1 %}\n\t{{ x }}\n",
    "  {{- 1 }}  \n  {{ 2 -}}  \n  3",
    "{%- for m in [1,2] -%}\n  {{- m -}}\n{%- endfor -%}\n",
    "{%- macro f(a) %}\n  {{ a }}\n{% endmacro -%}\n{{ f(1) }}|",
    "{% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "{% set x %}\n  a\n{% endset %}\n[{{ x }}]",
    "{{\n  'a'\n  ~ 'b'\n}}\n{%\n  if true\n%}\nc{% endif %}",
    "a{% if true %}\n\n\nb{% endif %}",
    "   {% generation %}\n  x\n   {% endgeneration %}\ny",
    "{% if true -%}\n   x\n{%- else -%}\n y {% endif %}",
    "a {%- set x = 1 %} b {% set y = 2 -%} c",
    "\u00a0{%- if true %}x{% endif %}\u3000 {%- if true %}y{% endif %}",
    "{#\n multi\n line #}\nx {# a #}\n",
    "line 1\n{{ 1\n+ nothing.x }}\n",
    "line 1\n{% if true %}\n\n{{ 'a' + 1 }}\n{% endif %}",
]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


def rendered(template, context):
    given = {"tools": None, "documents": None, "bos_token": "<s>", "eos_token": "</s>", **context}
    try:
        text, _ = chat_template_utils.render_jinja_template(
            conversations=[given.pop("messages")], chat_template=template, **given
        )
        return {"text": text[0]}
    except Exception as error:
        return {"error": type(error).__name__}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--templates", type=Path, help="folder with real templates (*.jinja) for local tests (KILN_IDIOMS)")
    arguments = parser.parse_args()
    chat_template_utils.datetime = Clock
    cases = []
    for template in CONVERSATION:
        cases += [{"template": template, "context": name, **rendered(template, dict(context))} for name, context in CONTEXTS.items()]
    for template in ALONE + LINES:
        cases.append({"template": template, "context": "empty", **rendered(template, dict(CONTEXTS["empty"]))})
    contexts = CONTEXTS
    if arguments.templates:
        contexts = CONTEXTS | REAL_CONTEXTS
        for path in sorted(arguments.templates.glob("*.jinja")):
            template = path.read_text()
            cases += [{"name": path.name, "template": template, "context": name, **rendered(template, dict(context))} for name, context in contexts.items()]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    contexts = json.dumps(contexts, ensure_ascii=False)
    arguments.out.write_text(f'{{"now": {NOW}, "contexts": {contexts}, "cases": [\n{lines}\n]}}\n')
    print(len(cases), "cases,", sum("error" in case for case in cases), "refused")


if __name__ == "__main__":
    main()
