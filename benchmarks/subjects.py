"""The programs that are measured, and their commands."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


@dataclass
class Subject:
    """A program. `call` is the start of its commands. `packed`: it multiplies quantized weights with activations rounded
    to 8 bits, so that its outputs are close to the reference but not equal."""

    name: str
    version: str
    call: list
    packed: bool = False
    safetensors: bool = True

    def logits(self, model, ids, threads):
        return [*self.call, "logits", model, "--ids", ",".join(map(str, ids)), *self.threads(threads)]

    def generate(self, model, prompt, ids, tokens, threads):
        asked = ["--ids", ",".join(map(str, ids))]
        return [*self.call, "generate", model, *asked, "--tokens", str(tokens), *self.threads(threads)]

    def threads(self, threads):
        return ["--threads", str(threads)]


class Kiln(Subject):
    """Kiln reads the prompt as text and loads the tokenizer of the file; the other subjects get token ids."""

    def generate(self, model, prompt, ids, tokens, threads):
        asked = ["--prompt", prompt, "--temperature", "0", "--max-new-tokens", str(tokens), "--json"]
        return [*self.call, "generate", model, *asked, *self.threads(threads)]

    def logits(self, model, ids, threads):
        return [*super().logits(model, ids, threads), "--json"]

    def encode(self, model, prompt):
        """The token ids of the prompt."""
        command = [*self.call, "tokenizer", "encode", model, "--text", prompt, "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])["ids"]


def version(python, package):
    """The version of a package installed for `python`, or None."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def locked(package):
    """The version of a crate in the lock file of the candle benchmark."""
    lock = (PEERS.parent / "candle" / "Cargo.lock").read_text()
    return lock.split(f'name = "{package}"\nversion = "')[1].split('"')[0]


def found(kiln, candle, python):
    """The installed subjects, Kiln first, and the names of the missing ones."""
    first = subprocess.run([kiln, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    there, missing = [Kiln("kiln", first, [kiln])], []
    for name, package, script, packed in [("transformers", "transformers", "transformers_peer.py", False),
                                          ("llama.cpp", "llama-cpp-python", "llama_cpp_peer.py", True)]:
        if number := version(python, package):
            shown = f"{number} (torch {version(python, 'torch')})" if name == "transformers" else f"llama-cpp-python {number}"
            there.append(Subject(name, shown, [python, PEERS / script], packed, safetensors=not packed))
        else:
            missing.append(name)
    if Path(candle).exists():
        there.append(Subject("candle", locked("candle-transformers"), [candle], packed=True))
    else:
        missing.append("candle")
    return there, missing
