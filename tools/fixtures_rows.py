# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow"]
# ///
"""Write JSON, CSV, TSV and Parquet files with rows of text, as Python's writers write them, for the tests of the readers.

    python tools/fixtures_rows.py --out crates/kiln-data/fixtures/rows

`texts.json` holds the texts that every file must give.
"""

import argparse
import csv
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
out = parser.parse_args().out
out.mkdir(parents=True, exist_ok=True)

texts = [
    "A plain line.",
    'She said "hello", and left; then, "goodbye".',
    '"Quoted" at the start and at the "end"',
    "Two\nlines, with a comma",
    "Windows\r\nline ends\r\n",
    "tabs\tand | bars ; semicolons",
    "é猫🙂 \u2028 line separator, U+0000: \0.",
    "  spaces around  ",
    "back\\slash \\n \\u0041 {braces} [brackets] ]}",
    "NaN Infinity -Infinity null",
]
rows = [
    {"id": i, "score": [math.nan, math.inf, -math.inf, 1e300, -0.0][i % 5], "text": text, "tags": ["a", "]}", {"text": "nested"}]}
    for i, text in enumerate(texts)
]


def write(name: str, text: str, encoding: str = "utf-8") -> None:
    (out / name).write_bytes(text.encode(encoding))


write("texts.json", json.dumps(texts))
write("lines.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
write("lines-utf8.ndjson", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8-sig")
write("array.json", json.dumps(rows))
write("array-indented.json", json.dumps(rows, indent=2, ensure_ascii=False))
write("objects-indented.json", "".join(json.dumps(row, indent=4) + "\n" for row in rows))
write("strings.json", json.dumps(texts, indent=1))


def write_csv(name: str, encoding: str = "utf-8", **options) -> None:
    with (out / name).open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, ["id", "text", "score"], extrasaction="ignore", **options)
        writer.writeheader()
        writer.writerows(rows)


write_csv("excel.csv", "utf-8-sig", dialect="excel")
write_csv("unix.csv", dialect="unix")
write_csv("semicolons.csv", delimiter=";")
write_csv("excel-tab.tsv", dialect="excel-tab")
table = pa.table({"id": list(range(len(texts))), "text": texts})
pyarrow.csv.write_csv(table, out / "pyarrow.csv")
for codec in ["snappy", "gzip", "zstd", "lz4", "brotli", "none"]:
    pq.write_table(table, out / f"{codec}.parquet", compression=codec)
pq.write_table(table.set_column(1, "text", pa.array(texts, pa.large_string())), out / "large-string.parquet", version="1.0", use_dictionary=False)
nulls = pa.table({"text": [None if i % 3 == 1 else text for i, text in enumerate(texts)]})
pq.write_table(nulls, out / "nulls.parquet")
pq.write_table(pa.table({"messages": [[{"role": "user", "content": text}] for text in texts]}), out / "messages.parquet")

# The same faults in each format: the texts of the rows that are valid are texts 0, 2 and 4.
write(
    "faults.jsonl",
    "\n".join([json.dumps({"text": texts[0]}), '{"text": null}', json.dumps({"text": texts[2]}), json.dumps({"text": "half \ud83d"}), '{"text": ', json.dumps({"text": texts[4], "other": "half \udc00"}), ""]),
)
write("faults.csv", f"id,text\r\n1,{texts[0]}\r\n2,a,b\r\n3,\"{texts[2].replace(chr(34), chr(34) * 2)}\"\r\n4,\"open\" text\r\n5,\"{texts[4]}\"\r\n")
pq.write_table(pa.table({"text": [texts[0], None, texts[2], None, texts[4]]}), out / "faults.parquet")
