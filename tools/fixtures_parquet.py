# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow"]
# ///
"""Write two small tables for the tests of the `.parquet` reader.

    python tools/fixtures_parquet.py --out crates/kiln-data/fixtures
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
out = parser.parse_args().out
rows = range(200)
body = [None if i % 7 == 3 else f"row {i} é猫 {'w' * (i % 5)}" for i in rows]
table = pa.table({"number": list(rows), "title": [f"title {i % 3}" for i in rows], "body": body, "tags": [["a", "b"]] * len(rows)})
pq.write_table(table, out / "texts.parquet", row_group_size=64, compression={"number": "none", "title": "zstd", "body": "snappy", "tags.list.element": "gzip"})
pq.write_table(pa.table({"n": [1, 2], "story": ["one", "two"]}), out / "only.parquet", compression="zstd")
